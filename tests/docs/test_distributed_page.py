"""docs/how-to/distributed.md and precision.md: their code runs, top to bottom, and every name on them is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.accelerators import AcceleratorRegistry
from trainer.arguments import STRATEGIES
from trainer.precision import _KNOWN
from trainer.strategies import StrategyRegistry

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def run(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    text = (PAGES / name).read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(block, name, "exec"), names)
    return names


@pytest.mark.multiprocess
def test_the_page_on_processes_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    try:
        found = run("distributed.md")
    finally:
        AcceleratorRegistry.pop("cores", None)
        StrategyRegistry.pop("alone", None)
    assert found["fit"].global_step == 20  # 32 samples, two processes of 4, five epochs
    assert capsys.readouterr().out.startswith("20 steps, loss ")
    assert found["model"].layer.weight.item() == pytest.approx(3, abs=0.5)


def test_the_page_on_formats_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("precision.md")


def test_every_name_is_on_its_page() -> None:
    formats = (PAGES / "precision.md").read_text(encoding="utf-8")
    assert [name for name in _KNOWN if f'`"{name}"`' not in formats] == []
    processes = (PAGES / "distributed.md").read_text(encoding="utf-8")
    kept = [one.name for one in STRATEGIES if one.fate != "refused" and "unused" not in one.name]
    assert [name for name in kept if f'"{name}"' not in processes and name != "single_device"] == []
