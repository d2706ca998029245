"""docs/how-to/pipeline.md: its script runs on two processes and on one, with the same result."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "pipeline.md").read_text(encoding="utf-8"), re.S
)


def run(folder: Path, script: str) -> str:
    folder.mkdir()
    (folder / "script.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.mark.soak
@pytest.mark.multiprocess
def test_the_page_prints_the_same_on_one_process(tmp_path: Path) -> None:
    two = run(tmp_path / "two", BLOCKS[0])
    one = run(tmp_path / "one", re.sub(r"\n +devices=2,\n +strategy=.*\n", "\n    devices=1,\n", BLOCKS[0]))
    found = [re.fullmatch(r"(\d+) of (\d+) parameters here, val_loss ([\d.]+)", text) for text in (two, one)]
    assert all(found), (two, one)
    (here, whole, split), (everything, same, alone) = (match.groups() for match in found if match is not None)
    assert int(here) < 0.6 * int(whole)
    assert everything == whole == same
    assert float(split) == pytest.approx(float(alone), abs=1.1e-4)


def test_the_layers_that_a_model_names_are_those_of_its_forward() -> None:
    names: dict[str, object] = {"torch": torch}
    exec(compile(BLOCKS[1], "pipeline.md", "exec"), names)
    encoder = names["Encoder"]().eval()  # type: ignore[operator]  # a class of the page
    tokens = torch.arange(6).reshape(2, 3)
    value = tokens
    for layer in encoder.pipeline_layers():
        value = layer(value)
    assert torch.equal(value, encoder(tokens))
