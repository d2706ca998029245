"""docs/how-to/distributed.md and precision.md: their code runs, top to bottom, and every name on them is there."""

from pathlib import Path

import pytest
import torch

from tests.docs.pages import Page
from trainer.accelerators import AcceleratorRegistry
from trainer.arguments import STRATEGIES
from trainer.precision import _KNOWN
from trainer.strategies import StrategyRegistry

PROCESSES, FORMATS = Page.named("distributed", "__main__"), Page.named("precision", "__main__")


@pytest.mark.multiprocess
def test_the_page_on_processes_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    try:
        found = PROCESSES.run_all()
    finally:
        AcceleratorRegistry.pop("cores", None)
        StrategyRegistry.pop("alone", None)
    assert found["fit"].global_step == 20  # 32 samples, two processes of 4, five epochs
    assert capsys.readouterr().out.startswith("20 steps, loss ")
    assert found["model"].layer.weight.item() == pytest.approx(3, abs=0.5)


def test_the_page_on_formats_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FORMATS.run_all()


def test_every_name_is_on_its_page() -> None:
    assert [name for name in _KNOWN if f'`"{name}"`' not in FORMATS.text] == []
    kept = [one.name for one in STRATEGIES if one.fate != "refused" and "unused" not in one.name]
    assert [name for name in kept if f'"{name}"' not in PROCESSES.text and name != "single_device"] == []
