"""NDCG and hit rate against scikit-learn and by hand, perplexity by hand, intervals by student."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from components.errors import SchemaError
from components.evaluate.perplexity import perplexity_of
from components.evaluate.ranking import ranking_estimates, ranking_values


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=12),
    st.integers(1, 12),
)
def test_ndcg_is_scikit_learns_with_ties(candidates: list[tuple[int, int]], k: int) -> None:
    score = np.array([[float(s) for s, _ in candidates]])
    worth = np.array([[float(w) for _, w in candidates]])
    found = ranking_values(score, worth, k)[0, 0]
    if worth.sum() == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(ndcg_score(worth, score, k=k), abs=1e-9)


def test_hit_rate_counts_a_tie_at_the_edge_by_its_chance() -> None:
    # three candidates share ranks 2 to 4, one of them a hit; of the first three ranks two are theirs
    score = np.array([[0.9, 0.5, 0.5, 0.5, 0.1]])
    worth = np.array([[0.0, 0.0, 1.0, 0.0, 0.0]])
    assert ranking_values(score, worth, 3)[0, 1] == pytest.approx(2 / 3)
    assert ranking_values(score, worth, 4)[0, 1] == pytest.approx(1.0)
    assert ranking_values(score, worth, 1)[0, 1] == pytest.approx(0.0, abs=1e-12)
    # a constant model with 2 hits among 5, first 2: 1 - (3/5)(2/4)
    flat = ranking_values(np.zeros((1, 5)), np.array([[1.0, 0, 0, 2, 0]]), 2)
    assert flat[0, 1] == pytest.approx(1 - 3 / 5 * 2 / 4)


def test_padding_changes_nothing() -> None:
    source = np.random.default_rng(0)
    score, worth = source.random((4, 6)), source.integers(0, 2, (4, 6)).astype(np.float64)
    worth[:, 0] = 1.0
    wide = np.pad(score, ((0, 0), (0, 3)), constant_values=9.0), np.pad(worth, ((0, 0), (0, 3)), constant_values=5.0)
    there = np.pad(np.ones((4, 6), np.bool_), ((0, 0), (0, 3)))
    for k in (1, 3, 8):
        assert ranking_values(*wide, k, there) == pytest.approx(ranking_values(score, worth, k), abs=1e-12)


def test_intervals_are_by_student_and_lists_without_a_hit_take_no_part() -> None:
    source = np.random.default_rng(1)
    score, worth = source.random((300, 10)), (source.random((300, 10)) < 0.2).astype(np.float64)
    worth[:5] = 0.0
    values = ranking_values(score, worth, 5)
    counted = np.isfinite(values[:, 0])
    assert not counted[:5].any()
    student = np.arange(300) // 3
    found = ranking_estimates(values, student, resamples=400, confidence=0.95, seed=0)
    for name, column in (("ndcg", 0), ("hit_rate", 1)):
        own = found[name]
        assert own.value == pytest.approx(values[counted, column].mean())
        assert own.low is not None
        assert own.high is not None
        means = [values[counted & (student == s), column].mean() for s in np.unique(student[counted])]
        assert own.high - own.low == pytest.approx(2 * 1.96 * np.std(means) / np.sqrt(len(means)), rel=0.35)
    tenfold = ranking_estimates(
        np.repeat(values, 10, axis=0), np.repeat(student, 10), resamples=400, confidence=0.95, seed=0
    )
    assert tenfold["ndcg"].low == pytest.approx(found["ndcg"].low)
    few = ranking_estimates(values, student % 9, resamples=50, confidence=0.95, seed=0)
    assert (few["ndcg"].status, few["ndcg"].value) == ("too_few", None)
    none = ranking_estimates(np.full((5, 2), np.nan), np.arange(5), resamples=50, confidence=0.95, seed=0)
    assert none["hit_rate"].status == "not_estimable"


def test_rankings_that_do_not_fit_are_refused() -> None:
    good = np.ones((2, 3))
    with pytest.raises(SchemaError, match=r"score has shape \(2, 3\), worth \(3, 2\)"):
        ranking_values(good, good.T, 1)
    with pytest.raises(SchemaError, match="k is 0"):
        ranking_values(good, good, 0)
    bad = good.copy()
    bad[0, 0] = math.nan
    with pytest.raises(SchemaError, match=r"1 of 6 candidates"):
        ranking_values(bad, good, 1)
    with pytest.raises(SchemaError, match=r"6 of 6 candidates"):
        ranking_values(good, -good, 1)


def test_perplexity_by_hand_and_with_its_interval() -> None:
    # 12 students, each 3 tokens of probability 1/4 and 1 of 1/2: exp((3 ln 4 + ln 2) / 4) = 2 ** (7 / 4)
    loss = np.full(12, 3 * math.log(4) + math.log(2))
    found = perplexity_of(loss, np.full(12, 4), np.arange(12), resamples=50, confidence=0.95, seed=0)
    assert (found.value, found.low, found.high) == pytest.approx((2 ** (7 / 4),) * 3)
    pooled = perplexity_of(
        np.append(loss, 100 * math.log(8)), np.append(np.full(12, 4), 100), np.arange(13), resamples=50,
        confidence=0.9, seed=0,
    )  # fmt: skip
    assert pooled.value == pytest.approx(math.exp((12 * (3 * math.log(4) + math.log(2)) + 100 * math.log(8)) / 148))
    assert pooled.low is not None
    assert pooled.high is not None
    assert pooled.low < 4 < pooled.high  # one student has most of the tokens: all hangs on that one


def test_perplexity_that_nothing_decides() -> None:
    few = perplexity_of(np.ones(5), np.ones(5, int), np.arange(5), resamples=30, confidence=0.95, seed=0)
    assert few.status == "too_few"
    none = perplexity_of(np.zeros(12), np.zeros(12, int), np.arange(12), resamples=30, confidence=0.95, seed=0)
    assert none.status == "not_estimable"
    with pytest.raises(SchemaError, match="5 losses, 4 token counts and 5 students"):
        perplexity_of(np.ones(5), np.ones(4, int), np.arange(5), resamples=30, confidence=0.95, seed=0)
    with pytest.raises(SchemaError, match="1 of 2 texts"):
        perplexity_of(np.array([1.0, math.inf]), np.ones(2, int), np.arange(2), resamples=30, confidence=0.95, seed=0)
