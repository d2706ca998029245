"""Numbers of the device in the log."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.callbacks import DeviceStatsMonitor
from trainer.errors import MisconfigurationException
from trainer.loggers import CSVLogger


def logged(tmp_path: Path, callback: DeviceStatsMonitor, **options: Any) -> dict[str, list[float]]:
    """Return every logged series of a fit of four batches with two of validation."""
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=callback, logger=CSVLogger(tmp_path), **options)
    trainer.fit(LoggingRegression(), regression_loader(16, 4), regression_loader(8, 4))
    with open(Path(str(trainer.log_dir)) / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def test_the_cpu_is_watched_around_the_batches_that_are_logged(tmp_path: Path) -> None:
    series = logged(tmp_path, DeviceStatsMonitor(), log_every_n_steps=2)
    for place, times in (("train_batch_start", 2), ("train_batch_end", 2), ("validation_batch_end", 1)):
        for number in ("cpu_percent", "cpu_vm_percent", "cpu_swap_percent"):
            values = series[f"DeviceStatsMonitor.on_{place}/{number}"]
            assert len(values) == times
            assert all(0 <= value <= 100 for value in values)


def test_the_cpu_can_be_left_out(tmp_path: Path) -> None:
    assert not any("cpu" in name for name in logged(tmp_path, DeviceStatsMonitor(cpu_stats=False), log_every_n_steps=1))


def test_a_logger_is_needed(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="logger"):
        make_trainer(tmp_path, callbacks=DeviceStatsMonitor()).fit(Regression(), regression_loader())
