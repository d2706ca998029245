"""Measures by skill, with intervals by student; skills with few rows or students show nothing.

A step with several skills counts for each of them. The overall table is over all skills, so that what is hidden is
kept large enough together (`components/evaluate/suppression.py`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.evaluate.estimates import Estimate, estimates_of, measured
from components.evaluate.rows import ScoredRows
from components.evaluate.sequences import NONE, UNKNOWN
from components.evaluate.suppression import shown_parts

MEASURES = ("auc", "accuracy", "balanced_accuracy", "log_loss", "brier", "ece", "base_rate", "mean_probability")
DECIMALS = 4
OUTSIDE = "unknown"
"""All skills that training did not meet."""


def skills_json(
    rows: ScoredRows,
    skills_NK: npt.NDArray[np.integer],
    names: Sequence[str],
    *,
    resamples: int,
    confidence: float,
    seed: int,
    min_rows: int,
    min_students: int,
    min_rarer_class: int,
) -> dict[str, JsonValue]:
    """Return `skills` (the largest first), and how many are too small to be shown.

    Args:
        rows: N scored rows.
        skills_NK: the skills of each row, indices as in the dataset.
        names: of the skills of the vocabulary, from index 2 on.
        resamples: of whole students.
        confidence: of the intervals.
        seed: of the resamples.
        min_rows: what a skill must have.
        min_students: what a skill must have.
        min_rarer_class: with fewer right or fewer wrong answers a skill's AUC reads `too_few`.
    """
    of, place = np.nonzero(skills_NK != NONE)
    known, group = np.unique(skills_NK[of, place], return_inverse=True)
    each = rows.at(of)
    count = np.bincount(group, minlength=len(known))
    pairs = np.unique(np.stack([group.astype(np.int64), each.student]), axis=1)
    students = np.bincount(pairs[0], minlength=len(known))
    shown = shown_parts(count, students, min_rows=min_rows, min_students=min_students)
    number = np.cumsum(shown) - 1
    kept = shown[group]
    found = measured(
        each.at(kept),
        number[group[kept]],
        int(shown.sum()),
        resamples=resamples,
        seed=seed,
        students=rows.students,
    )
    tables = estimates_of(found, confidence=confidence, min_rarer_class=min_rarer_class, measures=MEASURES)
    table: list[tuple[int, dict[str, JsonValue]]] = []
    for skill, estimates in zip(known[shown].tolist(), tables, strict=True):
        at = int(number[np.searchsorted(known, skill)])
        said: dict[str, JsonValue] = {
            "skill": OUTSIDE if skill == UNKNOWN else names[skill - UNKNOWN - 1],
            "scored": int(found.rows[at]),
            "students": int(found.students[at]),
            "measures": {name: estimate_json(estimate, DECIMALS) for name, estimate in estimates.items()},
        }
        table.append((int(found.rows[at]), said))
    table.sort(key=lambda entry: -entry[0])
    return {"skills": [entry for _, entry in table], "skills_too_few": int((~shown).sum())}


def estimate_json(estimate: Estimate, decimals: int) -> dict[str, JsonValue]:
    """Return an estimate as reports write it; never with the sign of a negative 0."""
    numbers: Mapping[str, float | None] = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {"status": estimate.status} | {k: round(v, decimals) + 0.0 for k, v in numbers.items() if v is not None}
