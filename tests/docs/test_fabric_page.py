"""docs/how-to/fabric.md: its loop runs as it stands."""

import re
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "fabric.md").read_text(encoding="utf-8")


def test_the_loop_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.replace('"auto", devices="auto"', '"cpu", devices=1'), "docs/how-to/fabric.md", "exec"), {})
    assert capsys.readouterr().out.count("epoch ") == 3
    assert torch.load(tmp_path / "model.ckpt", weights_only=True)["epoch"] == 2
