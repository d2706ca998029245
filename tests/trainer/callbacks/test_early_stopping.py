"""Early stopping: when it ends a fit, and what it says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.callbacks import EarlyStopping
from trainer.callbacks.early_stopping import EarlyStoppingReason
from trainer.errors import MetricNotFoundError, MisconfigurationException


class Scripted(LoggingRegression):
    """Logs given values, one for each validation."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values: Iterator[float] = iter(values)

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.log("score", next(self.values))


def stopped_epoch(tmp_path: Path, values: list[float], **options: Any) -> tuple[int, EarlyStopping]:
    stopping = EarlyStopping("score", **options)
    trainer = make_trainer(tmp_path, max_epochs=len(values), callbacks=stopping)
    trainer.fit(Scripted(values), regression_loader(8), regression_loader(4))
    return trainer.current_epoch, stopping


@pytest.mark.parametrize(
    ("values", "options", "epochs", "reason"),
    [
        ([3, 2, 1, 0], {}, 4, "not_stopped"),
        ([3, 2, 2, 2, 2], {"patience": 2}, 4, "patience_exhausted"),
        ([1, 2, 2, 2], {"patience": 2, "mode": "max"}, 4, "patience_exhausted"),
        ([3, 2.95, 2.92, 2.0], {"patience": 2, "min_delta": 0.1}, 3, "patience_exhausted"),
        ([3, 2, math.nan, 1], {}, 3, "non_finite_metric"),
        ([3, 2, math.inf, 1], {"check_finite": False, "patience": 5}, 4, "not_stopped"),
        ([3, 2, 0.5, 0.1], {"stopping_threshold": 1.0}, 3, "stopping_threshold"),
        ([3, 20, 0.5, 0.1], {"divergence_threshold": 10.0}, 2, "divergence_threshold"),
    ],
)
def test_it_stops_when_it_should(
    tmp_path: Path, values: list[float], options: dict[str, Any], epochs: int, reason: str
) -> None:
    epoch, stopping = stopped_epoch(tmp_path, values, **options)
    assert epoch == epochs
    assert stopping.stopping_reason.name == reason.upper()


def test_a_missing_metric_is_named_with_the_known_ones(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=EarlyStopping("vall_loss"))
    with pytest.raises(MetricNotFoundError, match=r"`vall_loss`, which was not logged.*'val_loss'"):
        trainer.fit(LoggingRegression(), regression_loader(8), regression_loader(4))


def test_a_missing_metric_only_warns_when_not_strict(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=EarlyStopping("vall_loss", strict=False))
    with pytest.warns(UserWarning, match="vall_loss"):
        trainer.fit(LoggingRegression(), regression_loader(8), regression_loader(4))
    assert trainer.current_epoch == 2


def test_without_validation_training_epochs_are_checked(tmp_path: Path) -> None:
    stopping = EarlyStopping("train_loss_epoch", patience=1, min_delta=100.0)
    trainer = make_trainer(tmp_path, max_epochs=9, callbacks=stopping)
    trainer.fit(LoggingRegression(), regression_loader(8))
    assert trainer.current_epoch == 2


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="'auto'"):
        EarlyStopping("x", mode="auto")  # type: ignore[arg-type]


def test_comparisons_and_scores_are_read_as_in_lightning() -> None:
    stopper = EarlyStopping("loss", mode="max", log_rank_zero_only=True)
    assert stopper.best_score.item() == -float("inf")
    assert stopper.monitor_op(torch.tensor(2.0), torch.tensor(1.0))
    assert stopper.order_dict[stopper.mode] == ">"


def test_the_reason_survives_a_checkpoint() -> None:
    stopper, other = EarlyStopping("loss"), EarlyStopping("loss")
    stopper.stopping_reason, stopper.stopping_reason_message = EarlyStoppingReason.NON_FINITE_METRIC, "it is nan"
    other.load_state_dict(stopper.state_dict())
    assert other.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC
    assert other.stopping_reason_message == "it is nan"
