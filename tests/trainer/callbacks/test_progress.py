"""Progress: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar
from trainer.callbacks.progress.rich_progress import RichProgressBarTheme


class Shown(LoggingRegression):
    def validation_step(self, batch: object, batch_idx: int) -> None:
        self.log("val_loss", 0.25, prog_bar=True)


def run(tmp_path: Path, bar: ProgressBar) -> None:
    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=bar, enable_progress_bar=True)
    trainer.fit(Shown(), regression_loader(24, 4), regression_loader(8, 4))


@pytest.mark.parametrize("kind", [TQDMProgressBar, RichProgressBar])
def test_a_file_gets_one_line_per_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: type[ProgressBar]
) -> None:
    run(tmp_path, kind())
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
    assert bar.is_enabled == (off == "disabled")


def test_it_is_there_by_default_and_prints_for_the_trainer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make_trainer(tmp_path, enable_progress_bar=True)
    assert isinstance(trainer.progress_bar_callback, TQDMProgressBar)
    trainer.print("a", "b")
    assert capsys.readouterr().out == "a b\n"


def test_lightnings_arguments_stand_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = TQDMProgressBar()
    assert (bar.refresh_rate, bar.process_position, bar.leave) == (1, 0, False)
    bar = TQDMProgressBar(5, 2, True)
    assert (bar.refresh_rate, bar.process_position, bar.leave) == (5, 2, True)
    monkeypatch.setenv("TQDM_MINITERS", "20")
    assert TQDMProgressBar(5).refresh_rate == 20
    with pytest.raises(TypeError, match="no bar"):
        bar.train_progress_bar  # noqa: B018 - it is the reading that fails
    with pytest.raises(TypeError, match="no trainer"):
        bar.trainer  # noqa: B018 - as above


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_other_stages_have_a_bar_for_each_loader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    class Several(LoggingRegression):
        def test_step(self, batch: object, batch_idx: int, dataloader_idx: int = 0) -> None:
            pass

        validation_step = predict_step = test_step  # type: ignore[assignment]  # none returns anything

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    trainer = make_trainer(tmp_path, callbacks=TQDMProgressBar(2), enable_progress_bar=True)
    call: Callable[..., object] = getattr(trainer, stage)
    call(Several(), [regression_loader(12, 4), regression_loader(20, 4)])
    shown = capsys.readouterr().err
    for text in ("DataLoader 0", "3/3", "DataLoader 1", "5/5"):
        assert text in shown


def test_rich_draws_on_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theme = RichProgressBarTheme(metrics_format=".1e", metrics_text_delimiter=" & ")
    run(tmp_path, RichProgressBar(leave=True, theme=theme, console_kwargs={"force_terminal": True, "width": 150}))
    shown = capsys.readouterr().err
    assert "Epoch 1" in shown
    assert "6/6" in shown
    assert "val_loss: 2.5e-01" in shown


def test_rich_shows_other_stages_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bar = RichProgressBar(console_kwargs={"force_terminal": True, "width": 150})
    trainer = make_trainer(tmp_path, callbacks=bar, enable_progress_bar=True)
    model, loader = LoggingRegression(), regression_loader(12, 4)
    trainer.test(model, loader, verbose=False)
    assert "Testing DataLoader 0" in capsys.readouterr().err
    trainer.predict(model, loader)
    assert "3/3" in capsys.readouterr().err
    assert bar.progress is None


@pytest.mark.parametrize("kind", [TQDMProgressBar, RichProgressBar])
def test_a_bar_can_be_pickled_after_a_run(tmp_path: Path, kind: type[ProgressBar]) -> None:
    bar = kind()
    run(tmp_path, bar)
    bar._trainer = None
    assert type(pickle.loads(pickle.dumps(bar))) is kind


def test_a_display_of_the_users_own(tmp_path: Path) -> None:
    class Own(ProgressBar):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[object] = []

        def on_train_batch_end(self, trainer: object, pl_module: object, *rest: object) -> None:
            self.seen.append((self.total_train_batches, self.total_val_batches))

        def on_validation_batch_start(self, trainer: object, pl_module: object, *rest: object) -> None:
            if self.has_dataloader_changed(0):
                self.seen.append(self.total_val_batches_current_dataloader)

    bar = Own()
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=bar, enable_progress_bar=True, logger=True)
    model = Shown()
    trainer.fit(model, regression_loader(8, 4), regression_loader(12, 4))
    assert bar.seen == [2, (2, 3), (2, 3)]
    assert bar.get_metrics(trainer, model) == {"v_num": 0, "val_loss": 0.25}
    assert (bar.train_description, bar.sanity_check_description) == ("Training", "Sanity Checking")
