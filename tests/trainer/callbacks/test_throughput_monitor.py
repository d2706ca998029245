"""What is done in a second."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.callbacks import ThroughputMonitor
from trainer.loggers import CSVLogger
from trainer.utilities import Throughput, get_available_flops


def test_means_are_taken_over_the_window() -> None:
    measure = Throughput(available_flops=1000, world_size=2, window_size=3)
    for second, batches in ((1.0, 1), (3.0, 2), (4.0, 4), (5.0, 8)):
        measure.update(time=second, batches=batches, samples=batches * 10, lengths=batches * 30, flops=60)
        if second == 3.0:
            assert measure.compute() == {"time": 3.0, "batches": 2, "samples": 20, "lengths": 60}
    # From second 3 to 5: six batches, and the operations of two updates.
    assert measure.compute() == {
        "time": 5.0, "batches": 8, "samples": 80, "lengths": 240,
        "device/batches_per_sec": 3.0, "batches_per_sec": 6.0,
        "device/samples_per_sec": 30.0, "samples_per_sec": 60.0,
        "device/items_per_sec": 90.0, "items_per_sec": 180.0,
        "device/flops_per_sec": 60.0, "flops_per_sec": 120.0, "device/mfu": 0.06,
    }  # fmt: skip
    measure.reset()
    assert measure.compute() == {}


@pytest.mark.parametrize(
    ("totals", "kind", "named"),
    [({"time": 2.0, "batches": 5, "samples": 4}, ValueError, "fewer samples"),
     ({"time": 2.0, "batches": 5, "samples": 6, "lengths": 5}, ValueError, "fewer items"),
     ({"time": 1.0, "batches": 5, "samples": 6}, ValueError, "time"),
     ({"time": 2.0, "batches": 0, "samples": 6}, ValueError, "batches"),
     ({"time": 2.0, "batches": 2, "samples": 6, "lengths": 6}, RuntimeError, "lengths")],
)  # fmt: skip
def test_totals_that_cannot_be_are_refused(totals: Any, kind: type[Exception], named: str) -> None:
    measure = Throughput()
    measure.update(time=1.0, batches=1, samples=1)
    with pytest.raises(kind, match=named):
        measure.update(**totals)


@pytest.mark.parametrize("options", [{"world_size": 0}, {"window_size": 1}])
def test_windows_that_cannot_be_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match="cannot measure"):
        Throughput(**options)


def test_a_cpu_has_no_known_limit() -> None:
    assert get_available_flops(torch.device("cpu"), torch.float32) is None


class Slow(LoggingRegression):
    flops_per_batch = 100

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        time.sleep(0.01)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        time.sleep(0.2)


def test_a_fit_logs_its_throughput_without_the_time_of_validation(tmp_path: Path) -> None:
    monitor = ThroughputMonitor(lambda batch: len(batch[0]), lambda batch: batch[0].numel(), window_size=3)
    options: dict[str, Any] = {"max_epochs": 1, "log_every_n_steps": 2, "val_check_interval": 3}
    trainer = make_trainer(tmp_path, callbacks=monitor, logger=CSVLogger(tmp_path), **options)
    started_s = time.perf_counter()
    trainer.fit(Slow(), regression_loader(24, 4), regression_loader(8, 4))
    elapsed_s = time.perf_counter() - started_s
    with open(Path(str(trainer.log_dir)) / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/samples"]]
    assert [(row["step"], row["train/batches"], row["train/samples"], row["train/lengths"]) for row in rows] == [
        ("1", "2", "8", "32"),
        ("3", "4", "16", "64"),
        ("5", "6", "24", "96"),
    ]
    assert rows[0]["train/device/samples_per_sec"] == ""  # the window is not full
    rate = float(rows[1]["train/device/samples_per_sec"])
    assert 0 < rate <= 400  # four samples take 0.01 s at least
    assert float(rows[1]["train/device/flops_per_sec"]) == pytest.approx(25 * rate)
    assert float(rows[2]["train/time"]) <= elapsed_s - 1.2  # six batches of validation, with the check before the fit


def test_tests_and_predictions_are_measured_too(tmp_path: Path) -> None:
    monitor = ThroughputMonitor(lambda batch: len(batch[0]))
    trainer = make_trainer(tmp_path, callbacks=monitor, logger=CSVLogger(tmp_path))
    model, loader = LoggingRegression(), regression_loader(12, 4)
    trainer.test(model, loader, verbose=False)
    trainer.predict(model, loader)
    trainer.validate(model, loader, verbose=False)
    text = (Path(str(trainer.log_dir)) / "metrics.csv").read_text()
    for stage in ("test", "predict", "validate"):
        assert f"{stage}/samples" in text
