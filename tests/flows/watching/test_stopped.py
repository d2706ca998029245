"""`homeroom watch` ended while a run of its goes on."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.request import RunRequest
from tests.flows.watching.test_watch import Bench


def test_a_run_that_was_stopped_with_its_watch_is_tried_again_after_a_day_not_a_week(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.had_run()

    def stopped(request: RunRequest) -> Any:
        raise SystemExit(143)  # `homeroom down` ends a watch so

    with pytest.raises(SystemExit):
        bench.looks([0.5, 0.5], run=stopped)
    assert bench.records[1]["error"] == "SystemExit"
    bench.now += timedelta(hours=23)
    bench.looks([0.5])
    assert bench.asked == []
    bench.now += timedelta(hours=2)
    bench.looks([0.5])
    assert len(bench.asked) == 1
