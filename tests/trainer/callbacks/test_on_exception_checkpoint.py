"""A checkpoint of a fit that an exception ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_loader
from trainer.callbacks import LambdaCallback, OnExceptionCheckpoint


class Failing(Regression):
    """Fails in the given batch, counted over epochs."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__(dropout=0.5)
        self.at = at

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.train_state.total_batches == self.at:
            raise ZeroDivisionError("failed on purpose")
        return super().training_step(batch, batch_idx)


def run(tmp_path: Path, model: Regression, **options: Any) -> OnExceptionCheckpoint:
    saver = OnExceptionCheckpoint(tmp_path / "saved")
    torch.manual_seed(1)
    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=[saver], enable_checkpointing=True)
    trainer.fit(model, regression_loader(24, 4, shuffle=True), **options)
    return saver


def test_a_failed_fit_goes_on_where_it_failed(tmp_path: Path) -> None:
    undisturbed, failing, resumed = Regression(dropout=0.5), Failing(at=8), Regression(dropout=0.5)
    run(tmp_path, undisturbed)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, failing)
    path = tmp_path / "saved" / "on_exception.ckpt"
    assert torch.load(path, weights_only=True)["global_step"] == 8
    saver = run(tmp_path, resumed, ckpt_path=path)
    assert_equal_weights(undisturbed, resumed)
    assert saver.ckpt_path == str(path)
    assert not path.exists()  # this fit ended well


def test_only_a_fit_that_ended_well_removes_the_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, Failing(at=1))

    class Tested(Regression):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            pass

    saver = OnExceptionCheckpoint(tmp_path / "saved")
    make_trainer(tmp_path, callbacks=saver, enable_checkpointing=True).test(Tested(), regression_loader(8))
    assert Path(saver.ckpt_path).exists()


def test_an_interrupt_is_saved_too(tmp_path: Path) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    saver = OnExceptionCheckpoint(tmp_path, "stopped")
    stop = LambdaCallback(on_train_batch_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, callbacks=[saver, stop], enable_checkpointing=True).fit(
            Regression(), regression_loader()
        )
    assert (tmp_path / "stopped.ckpt").exists()


def test_what_cannot_be_saved_does_not_hide_what_went_wrong(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("a file in the place of the folder")
    with pytest.raises(ZeroDivisionError) as failure:
        run(tmp_path, Failing(at=1))
    assert "No checkpoint was saved" in failure.value.__notes__[0]


def test_an_empty_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file name"):
        OnExceptionCheckpoint(tmp_path, "")
