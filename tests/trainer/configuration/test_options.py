"""Defaults and groups of the trainer's options."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import trainer as L
from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.configuration.options import ValidationOptions
from trainer.errors import MisconfigurationException


@pytest.mark.parametrize(
    ("options", "epochs", "steps"),
    [({}, None, -1), ({"max_steps": 5}, None, 5), ({"max_epochs": 3}, 3, -1), ({"max_time": "00:00:00:01"}, None, -1),
     ({"fast_dev_run": 4, "max_epochs": 9}, 1, 4)],
)  # fmt: skip
def test_a_trainer_tells_the_limits_it_was_given(options: Any, epochs: int | None, steps: int) -> None:
    trainer = L.Trainer(accelerator="cpu", **options)
    assert (trainer.max_epochs, trainer.max_steps) == (epochs, steps)


@pytest.mark.parametrize(
    ("options", "epochs"),
    [({}, 1000), ({"max_steps": 5}, -1), ({"max_epochs": 3}, 3), ({"max_time": "00:00:00:01"}, -1),
     ({"callbacks": L.callbacks.Timer()}, -1)],
)  # fmt: skip
def test_a_fit_has_a_thousand_epochs_unless_something_limits_it(tmp_path: Path, options: Any, epochs: int) -> None:
    trainer = make_trainer(tmp_path, limit_train_batches=0, **options)
    trainer.fit(Regression(), regression_loader(8))
    assert (trainer.max_epochs, trainer.min_epochs) == (epochs, 0)


def validation(interval: float, every: int | None = 1) -> ValidationOptions:
    return ValidationOptions(val_check_interval=interval, check_val_every_n_epoch=every, num_sanity_val_steps=2)


@pytest.mark.parametrize(
    ("interval", "every", "batches", "expected"),
    [(1.0, 1, 10, math.inf), (0.25, 1, 10, 2), (0.01, 1, 10, 1), (4, 1, 10, 4), (40, None, 10, 40),
     (1.0, 1, math.inf, math.inf), (40, 1, math.inf, 40), (4, 1, 0, 4)],
)  # fmt: skip
def test_intervals_become_batches(interval: float, every: int | None, batches: float, expected: float) -> None:
    assert validation(interval, every).batches_between(batches) == expected


def test_a_share_of_an_unknown_length_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match=r"Got 0.3; expected a number of batches for a loader without"):
        validation(0.3).batches_between(math.inf)


def test_groups_are_frozen() -> None:
    trainer = L.Trainer(accelerator="cpu")
    with pytest.raises(AttributeError):
        trainer.length.max_epochs = 3  # type: ignore[misc]
