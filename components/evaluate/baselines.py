"""What a trained model is compared with on the same rows: heuristics of a line each, and logistic regressions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.evaluate.counts import counts_of
from components.evaluate.heuristics import FORMULAS, heuristics_of
from components.evaluate.regression import DESIGNS, PENALTY_C, Regression, fitted, thinned
from components.evaluate.sequences import Split

STEPS_AT_ONCE = 500_000
"""About so many steps are predicted at a time."""
TITLES = {
    "skill_mean": "skill mean",
    "skill_and_student_mean": "skill and student mean",
    "pfa": "logistic regression on counts by skill (PFA)",
    "best_lr": "logistic regression on item, skills and counts (best-LR)",
}
"""How a sentence names each baseline."""
_FORMULAS = {
    "pfa": "log odds = sum over the step's skills of (easiness + slope * earlier right answers + slope * earlier wrong "
    "ones); slopes per skill (Pavlik et al. 2009)",
    "best_lr": "log odds = item + sum over the step's skills of (easiness + slopes * log(1 + earlier right answers) "
    "and log(1 + earlier wrong ones)) + slopes on the same two counts averaged over the skills, on the item, and in "
    "all (after Gervet et al. 2020)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Predictions of one baseline."""

    title: str
    formula: str
    probability: npt.NDArray[np.float64]
    """(N,) at each step of the split."""


def baselines_of(train: Split, test: Split) -> dict[str, Baseline]:
    """Return name -> baseline for every step of `test`; all that is learned comes from `train`.

    Counts take memory for a bounded number of steps at a time: `MAX_FIT_STEPS` of training, `STEPS_AT_ONCE` of `test`.
    """
    found = {
        name: Baseline(title=TITLES[name], formula=FORMULAS[name], probability=probability)
        for name, probability in heuristics_of(train, test).by_name().items()
    }
    regressions = _fitted(thinned(train))
    predicted = {name: np.empty(test.steps) for name in regressions}
    for rows, part in _students_of(test, STEPS_AT_ONCE):
        counts = counts_of(part)
        for name, regression in regressions.items():
            predicted[name][rows] = regression.predict(part, counts)
    for name, regression in regressions.items():
        formula = f"{_FORMULAS[name]}; {_fit(regression)}"
        found[name] = Baseline(title=TITLES[name], formula=formula, probability=predicted[name])
    return found


def _fitted(train: Split) -> dict[str, Regression]:
    counts = counts_of(train)
    return {name: fitted(design, train, counts) for name, design in DESIGNS.items()}


def _students_of(split: Split, steps: int) -> Iterator[tuple[npt.NDArray[np.int64], Split]]:
    """Yield the rows of whole students with about `steps` steps at a time, and their split."""
    _, student = np.unique(split.window_student, return_inverse=True)
    ends = np.cumsum(np.bincount(student, weights=split.lengths))
    part = ((ends - 1) // steps)[student]  # of each window
    for number in np.unique(part):
        yield split.of_windows(np.flatnonzero(part == number))


def _fit(regression: Regression) -> str:
    if regression.is_constant:
        return "all training answers are alike, so it gives one probability for all"
    end = "" if regression.is_converged else ", and did not converge: take it as a lower bound"
    return f"fitted on {regression.steps} training answers, penalty C = {PENALTY_C:g}{end}"
