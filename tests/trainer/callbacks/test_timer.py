"""Ending a fit after a length of time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.callbacks import Timer
from trainer.options import read_duration


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
