"""Counts of a release: scores, moments, effect sizes and quantiles against numpy and hand calculation."""

import json
import math

import numpy as np
import pytest

from serving.tally import LATENCY_S, Comparison, Moments, Tally, effect_size, quantile, score_of


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ({"predictions": [{"probability": 0.2}, {"probability": 0.6}], "steps_used": 3}, 0.4),
        ({"score": 4.0, "raw": 3.7, "traits": {"ideas": 2.0}, "interval": [3.0, 5.0]}, 4.0),
        ({"score": None, "abstained": "empty"}, None),
        ({"value": True, "flags": ["x"]}, None),
        ({"value": math.nan}, None),
    ],
)
def test_the_score_of_an_answer_is_the_mean_of_what_it_predicts(answer: dict[str, object], score: float | None) -> None:
    found = score_of(answer)
    assert found == (None if score is None else pytest.approx(score))


def test_moments_and_effect_size_are_numpys() -> None:
    source = np.random.default_rng(4)
    one, other = source.normal(0.6, 0.2, 500), source.normal(0.5, 0.3, 300)
    a, b = Moments(), Moments()
    for value in one:
        a.add(float(value))
    for value in other:
        b.add(float(value))
    assert a.mean == pytest.approx(one.mean())
    assert a.variance == pytest.approx(one.var(ddof=1))
    pooled = math.sqrt((499 * one.var(ddof=1) + 299 * other.var(ddof=1)) / 798)
    assert effect_size(a, b) == pytest.approx((one.mean() - other.mean()) / pooled)
    assert a.plus(b).plus(b, -1).mean == pytest.approx(a.mean)
    assert math.isnan(effect_size(a, Moments(count=1, sum=1.0, squares=1.0)))
    same = Moments(count=10, sum=5.0, squares=2.5)
    assert effect_size(same, same) == 0.0
    assert effect_size(Moments(count=10, sum=6.0, squares=3.6), same) == math.inf


def test_a_quantile_is_at_most_a_quarter_above_the_true_one() -> None:
    times = np.random.default_rng(5).lognormal(-4, 1, 5000)
    tally = Tally()
    for seconds in times:
        tally.count(200, float(seconds), None)
    for share in (0.5, 0.95, 0.99):
        true = float(np.quantile(times, share, method="inverted_cdf"))
        assert true <= tally.quantile(share) <= 1.25 * true
    assert math.isnan(quantile([0] * (len(LATENCY_S) + 1), 0.5))
    assert quantile([0] * len(LATENCY_S) + [1], 0.5) == math.inf


def test_what_is_counted_where_and_the_json_round_trip() -> None:
    tally = Tally()
    for status in (200, 200, 500, 504, 503, 429, 400, 413):
        tally.count(status, 0.002, 0.5)
    assert (tally.requests, tally.errors, tally.refused, tally.invalid) == (4, 2, 2, 2)
    assert tally.error_rate == 0.5
    assert (sum(tally.latency), tally.scores.count) == (4, 2)
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally
    assert tally.plus(tally).plus(tally, -1) == tally
    with pytest.raises(ValueError, match="buckets"):
        Tally.from_json({**tally.to_json(), "latency": [1]})


def test_items_of_a_list_count_by_themselves() -> None:
    tally = Tally()
    tally.count(200, 0.002, None, items=99, failed=99, invalid=1)
    tally.count(500, 0.002, None, items=3)
    tally.count(200, 0.002, 0.5, items=8, refused=2)
    assert (tally.requests, tally.items, tally.errors, tally.refused, tally.invalid) == (3, 110, 102, 2, 1)
    assert tally.error_rate == 102 / 110
    assert (sum(tally.latency), tally.scores.count) == (3, 1)
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally
    older = {name: value for name, value in tally.to_json().items() if name not in {"items", "misread"}}
    assert Tally.from_json(older).items == 3
    tally.misread = 10
    assert tally.misread_rate == 10 / 120
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally
    assert tally.plus(tally).plus(tally, -1) == tally
    assert (Tally().error_rate, Tally().misread_rate) == (0.0, 0.0)


def test_a_comparison_counts_differences_in_the_bucket_of_their_size() -> None:
    found = Comparison()
    for shadow, champion in ((0.5, 0.5), (0.52, 0.5), (0.5, 0.9), (None, 0.5)):
        found.compare(shadow, champion)
    assert found.compared == 4
    filled = {place: number for place, number in enumerate(found.differences) if number}
    assert filled == {0: 1, 6: 1, 9: 1}  # up to 1e-6, to 0.03, to 1.0
    assert found.signed.mean == pytest.approx((0 + 0.02 - 0.4) / 3)
