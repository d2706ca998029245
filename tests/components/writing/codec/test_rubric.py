"""Rubric arithmetic, by hand."""

import pytest

from components.writing.codec import Rubric


def test_a_score_scales_and_comes_back() -> None:
    rubric = Rubric(low=2, high=12)
    assert rubric.scaled(2) == 0.0
    assert rubric.scaled(7) == 0.5
    assert rubric.unscaled(0.25) == 4.5


@pytest.mark.parametrize(
    ("score", "given"),
    [(2.49, 2.0), (2.5, 3.0), (3.5, 4.0), (-5.0, 1.0), (9.0, 6.0), (1.0, 1.0), (5.999, 6.0)],
)
def test_half_goes_up_and_ends_hold(score: float, given: float) -> None:
    assert Rubric(low=1, high=6).rounded(score) == given


def test_steps_of_a_half() -> None:
    rubric = Rubric(low=0, high=5, step=0.5)
    assert [rubric.rounded(score) for score in (0.24, 0.25, 4.7, 4.75, 7.0)] == [0.0, 0.5, 4.5, 5.0, 5.0]


@pytest.mark.parametrize(
    ("low", "high", "step"), [(3.0, 3.0, 1.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.3), (0.0, float("inf"), 1.0)]
)
def test_what_is_no_scale_is_refused(low: float, high: float, step: float) -> None:
    with pytest.raises(ValueError, match="A rubric from"):
        Rubric(low=low, high=high, step=step)
