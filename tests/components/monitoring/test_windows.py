"""Windows and alarms: by hand, at the edges, and on simulated services as in benchmarks/drift.py."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.drift import SERVICES, added, false_alarms, shifted
from components.monitoring.counts import GROUPS, SignalCounts
from components.monitoring.reference import SignalReference, reference_of
from components.monitoring.windows import DriftLimits, Window, alarm, judged, stability_index

LIMITS = DriftLimits()


def usual() -> SignalReference:
    found = reference_of(np.random.default_rng(1).normal(size=20_000), np.arange(20_000))
    assert found is not None
    return found


def live(values: np.ndarray, reference: SignalReference, groups: np.ndarray | None = None) -> SignalCounts:
    if groups is None:
        groups = np.arange(len(values)) % GROUPS
    return added(SignalCounts(bins=[0] * len(reference.counts)), values, np.array(reference.edges), groups)


def test_a_shift_is_a_standardised_difference_with_its_error() -> None:
    reference = usual()
    values = np.random.default_rng(2).normal(0.4, 1.0, 2000)
    found = judged("a", live(values, reference), reference, 1, LIMITS)
    assert found is not None
    assert found.effect == pytest.approx((values.mean() - reference.mean) / reference.sd, rel=0.02)
    assert found.error == pytest.approx(math.sqrt(1 / 2000 + 1 / 20_000), rel=0.35)
    assert found.found == "up"
    assert found.threshold == LIMITS.effect
    down = judged("a", live(-values, reference), reference, 1, LIMITS)
    assert down is not None
    assert down.found == "down"


def test_the_stability_index_by_hand_and_another_shape() -> None:
    # Half a value more in each: (10.5 / 41 - 30.5 / 41) ln(10.5 / 30.5), twice.
    assert stability_index([10, 30], [30, 10]) == pytest.approx(2 * 20 / 41 * math.log(30.5 / 10.5))
    reference = usual()
    source = np.random.default_rng(3)
    wide = judged("a", live(source.normal(0.0, 2.0, 2000), reference), reference, 1, LIMITS)
    assert wide is not None
    assert wide.found == "shape"
    same = judged("a", live(source.normal(size=2000), reference), reference, 1, LIMITS)
    assert same is not None
    assert (same.found, same.index < 0.02) == ("", True)


def test_requests_of_few_students_make_no_window() -> None:
    reference = usual()
    values = np.random.default_rng(4).normal(0.5, 1.0, 3000)
    assert judged("a", live(values, reference, np.full(3000, 7)), reference, 1, LIMITS) is None
    # Three classes of which each answers alike: thousands of requests, and still not known.
    groups = np.arange(3000) % 3
    alike = np.array([-1.0, 0.0, 1.5])[groups] + 0.01 * values
    assert judged("a", live(alike, reference, groups), reference, 1, LIMITS) is None
    assert judged("a", live(values[:100], reference), reference, 1, LIMITS) is None  # too few at all


def test_without_names_students_are_reckoned_with() -> None:
    student = np.repeat(np.arange(2000), 10)
    reference = reference_of(np.random.default_rng(5).normal(size=2000)[student], student)  # wholly alike
    assert reference is not None
    values = np.random.default_rng(6).normal(size=2000)
    assert judged("a", live(values, reference), reference, 1, LIMITS) is not None
    nameless = replace(live(values, reference), named=0)
    assert judged("a", nameless, reference, 1, LIMITS) is None
    assert judged("a", nameless, reference, 1, replace(LIMITS, per_student=1.0)) is not None


def test_two_constants_are_the_same_or_infinitely_apart() -> None:
    reference = reference_of(np.zeros(100), np.arange(100))
    assert reference is not None
    same, other = (judged("a", live(np.full(300, v), reference), reference, 1, LIMITS) for v in (0.0, 1.0))
    assert same is not None
    assert other is not None
    assert (same.found, other.found) == ("", "up")
    # Three of 300 where there were none: far less than the limit, in standard deviations of both.
    some = live(np.arange(600) % 100 == 0, reference)
    found = judged("a", some, reference, 1, LIMITS)
    assert found is None or not found.found


def test_an_alarm_needs_k_of_n_windows_that_show_the_same() -> None:
    def windows(*found: str) -> list[Window]:
        return [
            Window(signal="a", values=1, effect=0.0, error=0.1, index=0.0, threshold=0.1, found=one)  # type: ignore[arg-type]  # as it is
            for one in found
        ]

    assert not alarm([], LIMITS)
    assert not alarm(windows("up"), LIMITS)
    assert alarm(windows("up", "up"), LIMITS)
    assert alarm(windows("up", "", "up"), LIMITS)
    assert not alarm(windows("up", "", "", "up"), LIMITS)
    assert not alarm(windows("up", "down"), LIMITS)
    assert not alarm(windows("up", "up", ""), LIMITS)


def test_limits_that_make_no_sense_are_refused() -> None:
    for wrong in ({"alpha": 0.7}, {"effect": 0.0}, {"k": 4}, {"per_student": 0.5}):
        with pytest.raises(ValueError, match="make no sense"):
            DriftLimits(**wrong)


def test_a_sample_of_the_goal() -> None:
    """The whole counts are in benchmarks/drift.py and its results."""
    service = SERVICES[1]
    found, _, _ = shifted(service, 0.3, LIMITS, 12, 11)
    assert found >= 0.9
    alarms, single = false_alarms(service, LIMITS, 10, 12)
    assert alarms <= 2.0
    # Requests taken as independent seem to show many: another service without names, and nothing reckoned with.
    naive = replace(SERVICES[4], order="mixed")
    _, wrong = false_alarms(naive, replace(LIMITS, per_student=1.0), 10, 13)
    assert single < 6.0 < wrong
