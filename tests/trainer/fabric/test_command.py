"""`python -m trainer.fabric run`: torchrun's processes, and arguments by environment variables."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer as L

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("command_job.py")


def run(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LT_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    process = subprocess.run(
        [sys.executable, "-m", "trainer.fabric", "run", f"--main-port={port}", *arguments, str(SCRIPT), str(folder)],
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return [json.loads(path.read_text()) for path in sorted(folder.glob("rank-*.json"))]


@pytest.mark.multiprocess
@pytest.mark.soak
def test_two_processes_end_with_the_numbers_of_one(tmp_path: Path) -> None:
    [alone] = run(tmp_path / "one", "--accelerator=cpu", "--precision=bf16-mixed")
    ranks = run(tmp_path / "two", "--accelerator", "cpu", "--devices=2", "--strategy=ddp", "--precision=64-true")
    assert [rank["world_size"] for rank in ranks] == [2, 2]
    assert (alone["world_size"], alone["precision"], ranks[0]["precision"]) == (1, "bf16-mixed", "64-true")
    exact = run(tmp_path / "exact", "--accelerator=cpu", "--precision=64-true")[0]
    for rank in ranks:
        assert rank["weights"] == pytest.approx(exact["weights"], abs=1e-9)
    assert alone["weights"] == pytest.approx(exact["weights"], abs=0.05)


def test_the_code_and_the_command_line_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CLI_USED": "1", "ACCELERATOR": "cpu", "DEVICES": "1", "PRECISION": "64-true"}.items():
        monkeypatch.setenv(f"LT_{name}", value)
    own = L.Fabric(devices=1)
    assert own._placement.precision.name == "64-true"
    with pytest.raises(ValueError, match=r"`Fabric\(precision='32-true'\)` and the command line `--precision=64-true`"):
        L.Fabric(precision="32-true")
    with pytest.raises(RuntimeError, match="which started its processes too"):
        own.launch()
    monkeypatch.setenv("LT_CLI_USED", "0")
    assert L.Fabric(precision="32-true")._placement.precision.name == "64-true"  # as in Lightning


def test_strategies_that_start_processes_are_refused(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from trainer.fabric.__main__ import main

    found = CliRunner().invoke(main, ["run", "--strategy=ddp_spawn", str(SCRIPT)])
    assert found.exit_code == 2
    assert "starts the processes itself" in found.output
    assert CliRunner().invoke(main, ["run", str(tmp_path / "absent.py")]).exit_code == 2
