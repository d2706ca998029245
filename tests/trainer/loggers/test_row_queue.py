"""Rows on their way to a slow place: order, failures and the end."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import trainer
from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.errors import LoggingError
from trainer.loggers import Logger
from trainer.loggers.row_queue import RowQueue


class Place:
    """Somewhere slow that can be out of order."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.calls = 0
        self.is_open = threading.Event()
        self.is_open.set()
        self.error: Exception | None = None

    def write(self, rows: Sequence[int]) -> None:
        self.is_open.wait(10)
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.rows += rows


def test_taking_does_not_wait_and_order_is_kept() -> None:
    place = Place()
    place.is_open.clear()
    queue = RowQueue(place.write, "Slow")
    began = time.perf_counter()
    for number in range(1000):
        queue.put(number)
    assert time.perf_counter() - began < 5.0
    assert place.rows == []
    place.is_open.set()
    assert queue.flush()
    assert place.rows == list(range(1000))
    assert place.calls <= 2  # all that wait go in one call


def test_what_fails_is_tried_again_and_refused_at_the_end() -> None:
    place = Place()
    place.error = OSError("no space")
    queue = RowQueue(place.write, "Broken")
    queue.put(1)
    assert not queue.flush()
    queue.put(2)
    with pytest.raises(LoggingError, match=r"Broken could not write.*OSError: no space; 2 rows"):
        queue.close()
    place.error = None
    queue.close()
    assert place.rows == [1, 2]


def test_copies_begin_empty() -> None:
    place = Place()
    queue = RowQueue(place.rows.extend, "Copied")
    queue.put(1)
    queue.close()
    copy.copy(queue).close()
    assert place.rows == [1]


def test_rows_are_written_when_the_program_ends_without_a_word(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib, time\n"
        "from trainer.loggers.row_queue import RowQueue\n"
        "def write(rows):\n"
        "    time.sleep(0.2)\n"
        "    pathlib.Path('rows.txt').write_text(str(list(rows)))\n"
        "queue = RowQueue(write, 'Late')\n"
        "queue.put(1)\n"
    )
    root = Path(trainer.__file__).resolve().parents[1]
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert (tmp_path / "rows.txt").read_text() == "[1]"


class Recording(Logger):
    """A user's logger."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.told: list[str] = []

    @property
    def name(self) -> str:
        return "recording"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.told.append("metrics")

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self.told.append(Path(checkpoint_callback.best_model_path).name)

    def finalize(self, status: str) -> None:
        self.told.append(status)
        if self.fails:
            raise LoggingError("this one cannot write")


def test_all_loggers_are_finished_and_the_first_error_is_raised(tmp_path: Path) -> None:
    loggers = [Recording(fails=True), Recording()]
    with pytest.raises(LoggingError, match="this one cannot write"):
        make_trainer(tmp_path, max_epochs=1, logger=loggers).fit(LoggingRegression(), regression_loader())
    assert "success" in loggers[1].told


def test_what_ended_the_run_counts_more_than_a_logger(tmp_path: Path) -> None:
    class Failing(LoggingRegression):
        def on_train_epoch_end(self) -> None:
            raise ZeroDivisionError("the run's own")

    logger = Recording(fails=True)
    trainer_ = make_trainer(tmp_path, max_epochs=1, logger=logger)
    with (
        pytest.warns(UserWarning, match="a logger failed too: this one cannot write"),
        pytest.raises(ZeroDivisionError, match="the run's own"),
    ):
        trainer_.fit(Failing(), regression_loader())
    assert logger.told[-1] == "failed"


def test_loggers_hear_of_checkpoints(tmp_path: Path) -> None:
    logger = Recording()
    trainer_ = make_trainer(tmp_path, max_epochs=2, logger=logger, enable_checkpointing=True)
    trainer_.fit(LoggingRegression(), regression_loader())
    assert [word for word in logger.told if word.endswith(".ckpt")] == ["epoch=0-step=6.ckpt", "epoch=1-step=12.ckpt"]
