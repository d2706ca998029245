"""OSA, OSD and CSD against full regressions by least squares, and the false alarms of their tests."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import f, f_oneway
from sklearn.linear_model import LinearRegression

from components.writing.fairness.explained import explained_by

Floats = npt.NDArray[np.float64]


def dummies(classes: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(classes[:, None] == np.unique(classes)[1:], np.float64)


def adjusted(design: Floats, values: Floats) -> tuple[float, float, int]:
    """Return adjusted R2, residual sum of squares and its degrees of freedom of a regression with a constant."""
    n, k = design.shape
    model = LinearRegression().fit(design, values)
    rest = float(((values - model.predict(design)) ** 2).sum())
    r2 = 1 - rest / float(((values - values.mean()) ** 2).sum())
    return 1 - (1 - r2) * (n - 1) / (n - k - 1), rest, n - k - 1


def made_up(seed: int, shift: float = 0.0) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.int64]]:
    source = np.random.default_rng(seed)
    group = source.choice([0, 1, 2], 400, p=[0.6, 0.3, 0.1])
    known = np.clip(np.rint(source.normal(3 + 0.5 * group, 1)), 0, 6).astype(np.int64)
    error = source.normal(0, 0.4, 400) - 0.2 * (known - 3) + shift * (group == 1)
    return group, error, known


def test_osa_and_osd_are_regressions_on_the_group_with_the_usual_f_test() -> None:
    group, error, known = made_up(0, 0.15)
    found = explained_by(group, error, known)
    for name, values in (("osa", error**2), ("osd", error)):
        assert found[name].r2 == pytest.approx(adjusted(dummies(group), values)[0], abs=1e-10)
        assert found[name].p == pytest.approx(f_oneway(*(values[group == g] for g in range(3))).pvalue, abs=1e-10)


def test_csd_is_what_the_group_adds_to_the_score() -> None:
    group, error, known = made_up(1, 0.15)
    without, rest_0, freedom_0 = adjusted(dummies(known), error)
    both, rest_1, freedom_1 = adjusted(np.hstack([dummies(known), dummies(group)]), error)
    found = explained_by(group, error, known)["csd"]
    assert found.r2 == pytest.approx(both - without, abs=1e-10)
    test = ((rest_0 - rest_1) / (freedom_0 - freedom_1)) / (rest_1 / freedom_1)
    assert found.p == pytest.approx(f.sf(test, freedom_0 - freedom_1, freedom_1), abs=1e-10)


def test_groups_that_differ_only_in_their_scores_are_seen_in_osd_and_not_in_csd() -> None:
    p_osd, p_csd = [], []
    for seed in range(60):
        found = explained_by(*made_up(seed))
        assert found["osd"].p is not None
        assert found["csd"].p is not None
        p_osd.append(found["osd"].p)
        p_csd.append(found["csd"].p)
    assert np.mean(np.array(p_osd) < 0.05) > 0.6
    assert np.mean(np.array(p_csd) < 0.05) < 0.15  # 1 in 20 by chance


def test_one_group_or_few_rows_or_no_errors_at_all_decide_nothing() -> None:
    group, error, known = made_up(2)
    for found in (
        explained_by(np.zeros(400, np.int64), error, known),
        explained_by(group[:8], error[:8], known[:8]),
        explained_by(group, np.zeros(400), known),
    ):
        assert {(its.r2, its.p) for its in found.values()} == {(None, None)}
