"""The training loop: limits, validation times, stops."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainer as L
from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.errors import MisconfigurationException


class Steps(L.Callback):
    """Writes down the global step at which things happen."""

    def __init__(self) -> None:
        self.validations: list[int] = []
        self.epochs: list[int] = []

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.validations.append(trainer.global_step)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.epochs.append(trainer.global_step)


def run(tmp_path: Path, **options: Any) -> tuple[L.Trainer, Steps]:
    steps = Steps()
    trainer = make_trainer(tmp_path, callbacks=steps, **options)
    trainer.fit(LoggingRegression(), regression_loader(24, 4), regression_loader(8, 4))
    return trainer, steps


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [6, 12]),
        ({"val_check_interval": 0.5}, [3, 6, 9, 12]),
        ({"val_check_interval": 4}, [4, 10]),
        ({"val_check_interval": 5, "check_val_every_n_epoch": None}, [5, 10]),
        ({"val_check_interval": 8, "check_val_every_n_epoch": None}, [8]),
        ({"check_val_every_n_epoch": 2}, [12]),
        ({"limit_val_batches": 0}, []),
        ({"limit_train_batches": 2}, [2, 4]),
        ({"limit_train_batches": 0.5}, [3, 6]),
    ],
)
def test_validation_runs_when_asked_for(tmp_path: Path, options: dict[str, Any], expected: list[int]) -> None:
    _, steps = run(tmp_path, max_epochs=2, **options)
    assert steps.validations == expected


@pytest.mark.parametrize(
    ("interval", "every", "expected"),
    [
        ("00:00:00:10", 1, [3, 6, 9, 12]),
        (timedelta(seconds=12), 1, [3, 6, 9, 12]),
        ({"seconds": 13}, None, [4, 8, 12]),
        ({"seconds": 10}, 2, [7, 10]),  # what was due in the first epoch runs as soon as the second allows it
    ],
)
def test_validation_runs_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: Any, every: int | None, expected: list[int]
) -> None:
    class Ticking(LoggingRegression):
        now = 0.0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            Ticking.now += 4.0  # seconds that a step takes
            return super().training_step(batch, batch_idx)

    monkeypatch.setattr("trainer.loops.loop.time.monotonic", lambda: Ticking.now)
    steps = Steps()
    trainer = make_trainer(
        tmp_path, callbacks=steps, max_epochs=2, val_check_interval=interval, check_val_every_n_epoch=every
    )
    trainer.fit(Ticking(), regression_loader(24, 4), regression_loader(8, 4))
    assert steps.validations == expected
    assert trainer.val_check_interval == interval


def test_an_interval_longer_than_the_epoch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="at most the 6 batches of an epoch"):
        run(tmp_path, max_epochs=1, val_check_interval=7)


@pytest.mark.parametrize(
    ("options", "steps", "epoch"),
    [
        ({"max_epochs": 2}, 12, 2),
        ({"max_steps": 8}, 8, 1),
        ({"max_steps": 12}, 12, 2),
        ({"max_epochs": 1, "max_steps": 8}, 6, 1),
        ({"max_epochs": 0}, 0, 0),
        ({"limit_train_batches": 0, "max_epochs": 3}, 0, 0),
        ({"fast_dev_run": True}, 1, 1),
        ({"fast_dev_run": 3}, 3, 1),
    ],
)
def test_limits_end_the_fit(tmp_path: Path, options: dict[str, Any], steps: int, epoch: int) -> None:
    trainer, _ = run(tmp_path, **options)
    assert (trainer.global_step, trainer.current_epoch) == (steps, epoch)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 2),
        ({"min_steps": 5}, 6),
        ({"min_epochs": 1}, 6),
        ({"min_epochs": 2}, 12),
        ({"min_epochs": 1, "min_steps": 9}, 9),
    ],
)
def test_a_stop_waits_for_the_minimum(tmp_path: Path, options: dict[str, Any], expected: int) -> None:
    class Stopping(LoggingRegression):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            if self.global_step == 2:
                self.trainer.should_stop = True

    trainer = make_trainer(tmp_path, max_epochs=4, **options)
    trainer.fit(Stopping(), regression_loader())
    assert trainer.global_step == expected


def test_a_stop_inside_an_epoch_validates_first(tmp_path: Path) -> None:
    class Stopping(LoggingRegression):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.trainer.should_stop = self.global_step == 2

    steps = Steps()
    trainer = make_trainer(tmp_path, max_epochs=4, callbacks=steps)
    trainer.fit(Stopping(), regression_loader(), regression_loader(8))
    assert steps.validations == [2]
    assert steps.epochs == [2]


def test_max_time_ends_the_fit(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_time={"seconds": 0})
    trainer.fit(Regression(), regression_loader())
    assert trainer.global_step == 0
    assert trainer.max_epochs == -1


def test_a_second_fit_continues_only_with_more_epochs(tmp_path: Path) -> None:
    model = Regression()
    trainer = make_trainer(tmp_path, max_epochs=2)
    trainer.fit(model, regression_loader())
    trainer.fit(model, regression_loader())
    assert trainer.global_step == 12


def test_loaders_are_reloaded_every_n_epochs(tmp_path: Path) -> None:
    class Reloading(Regression):
        asked = 0

        def train_dataloader(self) -> Any:
            self.asked += 1
            return regression_loader()

    model = Reloading()
    make_trainer(tmp_path, max_epochs=5, reload_dataloaders_every_n_epochs=2).fit(model)
    assert model.asked == 3


def test_overfitting_reads_the_same_batches_in_order(tmp_path: Path) -> None:
    seen: list[float] = []

    class Watching(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            seen.append(round(batch[0].sum().item(), 4))
            return self.loss(batch)

    make_trainer(tmp_path, max_epochs=3, overfit_batches=2).fit(Watching(), regression_loader(shuffle=True))
    expected = [round(batch[0].sum().item(), 4) for batch in list(regression_loader())[:2]]
    assert seen == expected * 3


def test_modes_of_frozen_layers_survive_validation(tmp_path: Path) -> None:
    modes: list[tuple[bool, bool, bool]] = []

    class Frozen(LoggingRegression):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            modes.append((self.training, self.net[0].training, torch.is_grad_enabled()))

        def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            assert not self.training
            assert not torch.is_grad_enabled()

    model = Frozen()
    model.net[0].eval()
    make_trainer(tmp_path, max_epochs=2).fit(model, regression_loader(8), regression_loader(8))
    assert set(modes) == {(True, False, True)}


def test_the_sanity_check_leaves_no_trace(tmp_path: Path) -> None:
    class Random(LoggingRegression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", torch.rand(()))

    keys: list[set[str]] = []

    class Watching(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            keys.append(set(trainer.callback_metrics))
            keys.append({str(torch.rand(()).item())})

    for batches in (0, 2, -1):
        torch.manual_seed(4)
        trainer = make_trainer(tmp_path, max_epochs=1, num_sanity_val_steps=batches, callbacks=Watching())
        trainer.fit(Random(), regression_loader(8), regression_loader(8))
    assert keys[0] == keys[2] == keys[4] == set()
    assert keys[1] == keys[3] == keys[5]


def test_estimated_steps_are_known_to_configure_optimizers(tmp_path: Path) -> None:
    seen: list[float] = []

    class Asking(Regression):
        def configure_optimizers(self) -> Any:
            seen.append(self.trainer.estimated_stepping_batches)
            return super().configure_optimizers()

    make_trainer(tmp_path, max_epochs=3, accumulate_grad_batches=4).fit(Asking(), regression_loader())
    make_trainer(tmp_path, max_epochs=3, max_steps=5).fit(Asking(), regression_loader())
    assert seen == [6, 5]  # windows of 4 and 2 batches in each of 3 epochs


def test_set_epoch_reaches_loaders_and_samplers(tmp_path: Path) -> None:
    class Sampler(torch.utils.data.Sampler[int]):
        epochs: list[int] = []  # noqa: RUF012 - one sampler only

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

        def __iter__(self) -> Any:
            return iter(range(8))

        def __len__(self) -> int:
            return 8

    sampler = Sampler()
    make_trainer(tmp_path, max_epochs=3).fit(Regression(), regression_loader(8, 4, sampler=sampler))
    assert sampler.epochs == [0, 1, 2]
