"""Accumulation that changes with the epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_data, regression_loader
from trainer.callbacks import GradientAccumulationScheduler, LambdaCallback, ModelCheckpoint
from trainer.errors import MisconfigurationException


def by_hand(windows: list[list[int]]) -> Regression:
    """Train with one SGD step for each window of batches (of two samples), on the mean of their losses."""
    model, data = Regression(), regression_data(10).tensors
    optimizer = torch.optim.SGD(model.parameters(), lr=model.lr)
    for window in windows:
        optimizer.zero_grad()
        for index in window:
            part = slice(2 * index, 2 * index + 2)
            loss = model.loss((data[0][part], data[1][part])) / len(window)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    return model


def test_the_schedule_is_followed_and_the_last_window_scaled_by_what_it_holds(tmp_path: Path) -> None:
    steps: list[int] = []
    count = LambdaCallback(on_train_epoch_end=lambda trainer, module: steps.append(trainer.global_step))
    scheduler = GradientAccumulationScheduler({1: 2, 2: 4})
    model = Regression()
    trainer = make_trainer(tmp_path, max_epochs=4, callbacks=[scheduler, count])
    trainer.fit(model, regression_loader(10, 2))
    assert steps == [5, 8, 10, 12]
    singles, pairs, fours = [[0], [1], [2], [3], [4]], [[0, 1], [2, 3], [4]], [[0, 1, 2, 3], [4]]
    expected = by_hand(singles + pairs + fours + fours)
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert trainer.estimated_stepping_batches == 12


def test_a_resume_inside_an_epoch_keeps_the_schedule(tmp_path: Path) -> None:
    def fit(model: Regression, **options: Any) -> None:
        saver = ModelCheckpoint(tmp_path, "at-{step}", every_n_train_steps=1, save_top_k=-1)
        schedule = GradientAccumulationScheduler({0: 1, 1: 3})
        trainer = make_trainer(tmp_path, max_epochs=2, callbacks=[schedule, saver])
        trainer.fit(model, regression_loader(10, 2), **options)

    undisturbed, resumed = Regression(), Regression()
    fit(undisturbed)
    fit(resumed, ckpt_path=tmp_path / "at-step=6.ckpt")
    assert_equal_weights(undisturbed, resumed)


def test_a_callback_of_the_user_may_set_the_factor(tmp_path: Path) -> None:
    def widen(trainer: Any, module: Any) -> None:
        trainer.accumulate_grad_batches = trainer.current_epoch + 1

    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=LambdaCallback(on_train_epoch_start=widen))
    trainer.fit(Regression(), regression_loader(10, 2))
    assert trainer.global_step == 5 + 3
    with pytest.raises(MisconfigurationException, match="at least 1"):
        trainer.accumulate_grad_batches = 0


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1), (3, 1), (4, 2), (5, 2), (6, 8), (99, 8)])
def test_the_factor_of_an_epoch(epoch: int, factor: int) -> None:
    assert GradientAccumulationScheduler({4: 2, 6: 8}).get_accumulate_grad_batches(epoch) == factor


@pytest.mark.parametrize(
    ("schedule", "kind"),
    [({}, TypeError), ({-1: 2}, MisconfigurationException), ({0: 0}, MisconfigurationException),
     ({0.5: 2}, MisconfigurationException), ({0: 2.0}, MisconfigurationException)],
)  # fmt: skip
def test_schedules_that_make_no_sense_are_refused(schedule: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        GradientAccumulationScheduler(schedule)


def test_two_sources_of_the_factor_are_refused(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, callbacks=GradientAccumulationScheduler({0: 2}), accumulate_grad_batches=2)
    with pytest.raises(ValueError, match="accumulate_grad_batches=2"):
        trainer.fit(Regression(), regression_loader())


def test_manual_optimisation_is_refused(tmp_path: Path) -> None:
    model = Regression()
    model.automatic_optimization = False
    trainer = make_trainer(tmp_path, callbacks=GradientAccumulationScheduler({0: 2}))
    with pytest.raises(RuntimeError, match="automatic optimisation"):
        trainer.fit(model, regression_loader())


def test_written_steps_are_called_by_window(tmp_path: Path) -> None:
    class Own(Regression):
        def optimizer_step(self, *arguments: Any, **options: Any) -> None:
            super().optimizer_step(*arguments, **options)

    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=GradientAccumulationScheduler({0: 2}))
    with pytest.warns(UserWarning, match="`optimizer_step` are called once for each window"):
        trainer.fit(Own(), regression_loader())
