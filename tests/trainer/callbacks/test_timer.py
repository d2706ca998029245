"""Ending a fit after a length of time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.callbacks import Timer
from trainer.configuration.options import read_duration
from trainer.errors import MisconfigurationException


@pytest.mark.parametrize("given", ["00:01:02:03", {"hours": 1, "minutes": 2, "seconds": 3}, timedelta(seconds=3723)])
def test_durations_are_read(given: Any) -> None:
    assert read_duration(given) == timedelta(seconds=3723)


def test_the_timer_counts_over_resumes(tmp_path: Path) -> None:
    timer = Timer("00:00:10:00")
    make_trainer(tmp_path, max_epochs=1, callbacks=timer).fit(Regression(), regression_loader(8))
    used = timer.time_elapsed()
    assert used > 0
    again = Timer("00:00:10:00")
    again.load_state_dict(timer.state_dict())
    remaining = again.time_remaining()
    assert remaining == pytest.approx(600 - used)
    assert Timer().time_remaining() is None


class Clock:
    """A clock that a training step moves on by one second."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Slow(LoggingRegression):
    clock = Clock()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.clock.now += 1.0
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(("interval", "batches"), [("step", 2), ("epoch", 6)])
def test_the_clock_is_looked_at_after_steps_or_epochs(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    interval: Any,
    batches: int,
) -> None:
    monkeypatch.setattr("trainer.callbacks.timer.time", Slow.clock)
    timer = Timer(timedelta(seconds=2), interval=interval)
    trainer = make_trainer(tmp_path, max_epochs=5, callbacks=timer)
    trainer.fit(Slow(), regression_loader(24, 4))
    assert trainer.global_step == batches
    assert f"the time is over after 0:00:0{batches}" in capsys.readouterr().out


def test_every_stage_is_measured(tmp_path: Path) -> None:
    timer = Timer()
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=timer)
    assert timer.start_time() is None
    assert timer.time_elapsed("test") == 0
    model = Slow()
    trainer.fit(model, regression_loader(8), regression_loader(8))
    trainer.test(model, regression_loader(8), verbose=False)
    for stage in ("train", "validate", "test"):
        start, end = timer.start_time(stage), timer.end_time(stage)
        assert start is not None
        assert end is not None
        assert timer.time_elapsed(stage) == end - start > 0
    assert timer.state_dict()["time_elapsed"]["test"] == timer.time_elapsed("test")


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="'batch'"):
        Timer(interval="batch")  # type: ignore[arg-type]
