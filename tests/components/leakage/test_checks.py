"""Students, order in time and findings, from plain arrays by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.config import make_config
from components.errors import ConfigError
from components.leakage.config import LeakageConfig
from components.leakage.findings import Check, Finding, leakage_finding, verdict_of, write_report
from components.leakage.order import Timed, check_time, wrong_sides
from components.leakage.students import check_students
from components.writing.leakage.config import WritingLeakageConfig


def test_students_of_several_splits_are_counted_once_and_by_pair() -> None:
    own = [np.array([1, 1, 2, 3]), np.array([3, 4, 9]), np.array([9, 3, 5, 5])]
    check = check_students(own, "stop")
    (finding,) = check.findings
    assert (finding.value, finding.n, finding.outcome) == (2, 6, "stop")
    assert finding.reason == "2 of 6 students are in more than one split"
    assert check.figures["shared"] == {"train & valid": 1, "train & test": 1, "valid & test": 2}
    assert check.figures["students"] == {"train": 3, "valid": 3, "test": 3}
    assert check_students(own, "warn").findings[0].outcome == "warn"
    by_time = check_students(own, "stop", by_time=True).findings[0]
    assert (by_time.outcome, by_time.limit) == ("pass", None)
    assert check_students([np.array([1]), np.array([2]), np.array([3])], "stop").findings[0].outcome == "pass"


def timed(students: list[int], positions: list[int], times: list[float], scored: list[bool] | None = None) -> Timed:
    return Timed(
        student_N=np.array(students),
        position_N=np.array(positions),
        time_N=np.array(times, np.float64),
        scored_N=np.array(scored or [True] * len(students)),
    )


NAN = float("nan")
NOTHING = timed([], [], [])


def test_answers_behind_a_later_one_of_their_student_are_counted() -> None:
    right = timed([1, 1, 1, 2, 2], [0, 1, 2, 0, 1], [5, 5, 9, 1, 2])
    assert check_time([right, NOTHING, NOTHING], (), "stop").findings[0].outcome == "pass"
    turned = timed([1, 1, 1, 2, 2, 2], [0, 2, 1, 0, 1, 2], [5, 7, 6, 4, 3, 8])
    check = check_time([right, turned, NOTHING], (), "stop")
    assert check.figures["out_of_order"] == {"train": 0, "valid": 2, "test": 0}
    assert (check.findings[0].value, check.findings[0].n, check.findings[0].outcome) == (2, 11, "stop")
    assert len(check.findings) == 1  # not split by time


def test_an_answer_without_a_time_hides_no_order_that_is_turned_round() -> None:
    split = timed([1, 1, 1, 2, 2, 2], [0, 1, 2, 0, 1, 2], [5, NAN, 3, NAN, NAN, 1])
    assert check_time([split, NOTHING, NOTHING], (), "stop").findings[0].value == 1


def test_without_times_the_sources_order_counts_and_that_is_said() -> None:
    check = check_time([timed([1, 1, 1], [0, 1, 1], [NAN, 3, NAN]), NOTHING, NOTHING], (), "warn")
    assert (check.findings[0].value, check.findings[0].outcome) == (1, "warn")
    assert "2 of 3 answers have no time" in check.findings[0].reason
    assert check.figures["with_time"] == 1


def test_answers_on_the_wrong_side_of_a_split_by_time() -> None:
    # validation begins at 100, testing at 200
    train = timed([1, 1, 1, 2], [0, 1, 2, 0], [10, 99, 100, NAN])
    valid = timed([1] * 5, [0, 1, 2, 3, 4], [10, 99, 100, 199, 200], [False, True, True, True, False])
    test = timed([1] * 4, [0, 1, 2, 3], [10, 199, 200, 999], [False, True, True, True])
    assert wrong_sides([train, valid, test], 100, 200) == {"train": 2, "valid": 2, "test": 1}
    check = check_time([train, valid, test], (100, 200), "stop")
    assert [f.outcome for f in check.findings] == ["pass", "stop"]
    assert check.findings[1].value == 5
    assert check.figures["begins_ms"] == [100, 200]
    good = [timed([1], [0], [99]), timed([1, 1], [0, 1], [99, 100], [False, True]), timed([1], [2], [200])]
    assert [f.outcome for f in check_time(good, (100, 200), "stop").findings] == ["pass", "pass"]


def one(outcome: str) -> Finding:
    return leakage_finding("m", value=0, limit=0, n=1, outcome=outcome, reason=f"it is {outcome}")  # type: ignore[arg-type]  # one of the three


def test_the_verdict_is_the_worst_and_nothing_found_is_no_pass(tmp_path: Path) -> None:
    assert verdict_of([]) == "fail"
    assert verdict_of([one("pass")]) == "pass"
    assert verdict_of([one("pass"), one("warn")]) == "warn"
    checks = [Check(name="a", findings=(one("warn"), one("pass")), figures={"k": 1})]
    checks.append(Check(name="b", findings=(one("stop"),), figures={}))
    assert write_report(tmp_path, checks) == ("fail", ("it is stop", "it is warn"))
    report = json.loads((tmp_path / "leakage.json").read_text())
    assert report["verdict"] == "fail"
    assert report["checks"] == {"a": {"k": 1}, "b": {}}
    assert report["findings"][2] == {
        "check": "leakage", "subject": "all", "measure": "m", "value": 0, "low": None, "high": None, "limit": 0, "n": 1,
        "outcome": "stop", "reason": "it is stop",
    }  # fmt: skip


def test_every_field_out_of_range_is_named_with_its_value_and_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(LeakageConfig, {"max_copied_share": -0.1, "min_copied_bits": 0.0, "on_fail": "ignore"})
    for part in ("on_fail", "ignore"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        make_config(LeakageConfig, {"max_copied_share": -0.1, "min_copied_bits": 0.0})
    for part in ("max_copied_share is -0.1; expected 0 to 1", "min_copied_bits is 0.0; expected 1 to 1000"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        make_config(
            WritingLeakageConfig,
            {"max_shared_share": 2.0, "near_similarity": 0.1, "shingle_words": 9, "min_near_words": 2},
        )
    for part in (
        "max_shared_share is 2.0; expected 0 to 1",
        "near_similarity is 0.1; expected 0.3 to 1",
        "shingle_words is 9; expected 1 to 8",
        "min_near_words is 2; expected at least shingle_words, 9",
    ):
        assert part in str(caught.value)
