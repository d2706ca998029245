"""Logging learning rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.models import Regression, make_trainer, metric_lines, regression_loader
from trainer.callbacks import LearningRateMonitor
from trainer.errors import MisconfigurationException
from trainer.loggers import CSVLogger


class Scheduled(Regression):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0, momentum=0.5)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def loss(self, batch: Any) -> Any:
        return super().loss(batch) * 0.0


def logged(tmp_path: Path, model: Regression, monitor: LearningRateMonitor, **options: Any) -> list[str]:
    """Return the lines that a fit of two epochs with two batches each writes."""
    options = {"max_epochs": 2, "log_every_n_steps": 2} | options
    trainer = make_trainer(tmp_path, callbacks=monitor, logger=CSVLogger(tmp_path), **options)
    trainer.fit(model, regression_loader(8, 4))
    return metric_lines(trainer.log_dir)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [("epoch", ["0,0.0,1.0,0.5", "2,1.0,0.25,0.5"]), (None, ["1,0.0,0.5,0.5", "3,1.0,0.125,0.5"])],
)
def test_the_rates_that_steps_use_are_logged(tmp_path: Path, interval: Any, expected: list[str]) -> None:
    lines = logged(tmp_path, Scheduled(), LearningRateMonitor(interval, log_momentum=True))
    assert lines == ["step,epoch,lr-SGD,lr-SGD-momentum", *expected]


def test_a_rate_without_a_scheduler_is_logged_at_steps_and_epochs(tmp_path: Path) -> None:
    monitor = LearningRateMonitor(log_weight_decay=True)
    lines = logged(tmp_path, Regression(), monitor, accumulate_grad_batches=2, log_every_n_steps=1)
    assert lines == ["step,epoch,lr-SGD,lr-SGD-weight_decay", *["0,0.0,0.05,0.0"] * 2, *["1,1.0,0.05,0.0"] * 2]


def test_names_belong_to_the_optimizer_of_the_scheduler(tmp_path: Path) -> None:
    class Several(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            for optimizer in self.optimizers():
                optimizer.step()
            return torch.zeros(())

        def configure_optimizers(self) -> Any:
            first = torch.optim.SGD(self.net[0].parameters(), lr=1.0)
            second = torch.optim.SGD(self.net[3].parameters(), lr=2.0)
            groups: list[dict[str, Any]] = [{"params": [torch.zeros(1)], "name": "head"}, {"params": [torch.ones(1)]}]
            third = torch.optim.SGD(groups, lr=3.0)
            constant = torch.optim.lr_scheduler.ConstantLR(second, factor=1.0)
            return [first, second, third], [{"scheduler": constant, "name": "body"}]

    monitor = LearningRateMonitor("epoch")
    lines = logged(tmp_path, Several(), monitor, max_epochs=1)
    assert lines == ["step,epoch,body,lr-SGD,lr-SGD-1/head,lr-SGD-1/pg2", "0,0.0,2.0,1.0,3.0,3.0"]


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="'batch'"):
        LearningRateMonitor("batch")  # type: ignore[arg-type]


def test_what_was_logged_can_be_read(tmp_path: Path) -> None:
    monitor = LearningRateMonitor("step", log_momentum=True, log_weight_decay=True)
    logged(tmp_path, Scheduled(), monitor, log_every_n_steps=1)
    assert monitor.lrs == {"lr-SGD": [1.0, 0.5, 0.25, 0.125]}
    assert monitor.last_momentum_values == {"lr-SGD-momentum": 0.5}
    assert monitor.last_weight_decay_values == {"lr-SGD-weight_decay": 0.0}


def test_a_logger_is_needed(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, callbacks=LearningRateMonitor())
    with pytest.raises(MisconfigurationException, match="logger"):
        trainer.fit(Regression(), regression_loader())


def test_groups_of_one_name_are_refused(tmp_path: Path) -> None:
    class Twice(Regression):
        def configure_optimizers(self) -> Any:
            groups = [{"params": [p], "name": "same"} for p in self.parameters()]
            return torch.optim.SGD(groups, lr=0.1)

    with pytest.raises(MisconfigurationException, match="same"):
        logged(tmp_path, Twice(), LearningRateMonitor())
