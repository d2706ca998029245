"""Progress: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.callbacks import TQDMProgressBar


class Shown(LoggingRegression):
    def validation_step(self, batch: object, batch_idx: int) -> None:
        self.log("val_loss", 0.25, prog_bar=True)


def run(tmp_path: Path, bar: TQDMProgressBar) -> None:
    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=bar, enable_progress_bar=True)
    trainer.fit(Shown(), regression_loader(24, 4), regression_loader(8, 4))


def test_a_file_gets_one_line_per_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, TQDMProgressBar())
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/2  step 6  val_loss 0.25",
        "epoch 2/2  step 12  val_loss 0.25",
    ]


def test_a_terminal_gets_a_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(tmp_path, TQDMProgressBar(refresh_rate=2, leave=True))
    shown = capsys.readouterr().err
    assert "Epoch 0" in shown
    assert "6/6" in shown
    assert "val_loss=0.25" in shown


@pytest.mark.parametrize("off", ["rate", "disabled"])
def test_it_can_be_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str], off: str) -> None:
    bar = TQDMProgressBar(refresh_rate=0 if off == "rate" else 5)
    if off == "disabled":
        bar.disable()
    run(tmp_path, bar)
    assert capsys.readouterr().err == ""
    bar.enable()
    assert bar.is_enabled


def test_it_is_there_by_default_and_prints_for_the_trainer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make_trainer(tmp_path, enable_progress_bar=True)
    assert isinstance(trainer.progress_bar_callback, TQDMProgressBar)
    trainer.print("a", "b")
    assert capsys.readouterr().out == "a b\n"
