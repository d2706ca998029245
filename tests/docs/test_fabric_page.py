"""docs/how-to/fabric.md: its loop runs as it stands."""

from pathlib import Path

import pytest
import torch

from tests.docs.pages import Page


def test_the_loop_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    page = Page.named("fabric", module="__main__")
    [block] = page.blocks
    monkeypatch.chdir(tmp_path)
    page.run(block.replace('"auto", devices="auto"', '"cpu", devices=1'))
    assert capsys.readouterr().out.count("epoch ") == 3
    assert torch.load(tmp_path / "model.ckpt", weights_only=True)["epoch"] == 2
