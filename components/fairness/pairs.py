"""ABROCA of every pair of an attribute's groups that are large enough, on the same resamples of the students."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import resampled_students
from components.evaluate.curves import Roc, RocRows
from components.evaluate.estimates import Estimate, Status
from components.evaluate.metrics import is_right
from components.evaluate.rows import ScoredRows
from components.fairness.abroca import Abroca, abroca_of, areas_drawn, corrected, curves_drawn

MAX_PAIRED = 10
"""Of more groups, the ones with the most students are compared in pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOfGroups:
    """Two groups, and the area between their ROC curves."""

    first: str
    second: str
    abroca: Abroca


def pairs_of(
    rows: ScoredRows,
    group: npt.NDArray[np.int64],
    shown: list[tuple[int, str, Estimate]],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> list[PairOfGroups]:
    """Return the pairs, in the groups' order; p values are corrected over all of them.

    Args:
        rows: the scored predictions, of weight 1 each.
        group: (S,) the group of each student.
        shown: number, name and AUC of the groups that are large enough.
        resamples: of whole students, for the interval and again for the test.
        confidence: of the intervals.
        seed: of both.
    """
    size = np.bincount(group, minlength=max((at for at, _, _ in shown), default=0) + 1)
    largest = sorted(sorted(shown, key=lambda entry: -int(size[entry[0]]))[:MAX_PAIRED], key=lambda entry: entry[0])
    own = group[rows.student]
    right = is_right(rows.label)

    def roc_rows(mask: npt.NDArray[np.bool_], number: npt.NDArray[np.int64]) -> RocRows:
        return RocRows(right[mask], rows.probability[mask], number[rows.student[mask]])

    everyone = np.arange(len(group))
    usable = [at for at, _, auc in largest if auc.status == "ok"]
    counts = list(resampled_students(len(group), resamples, seed)) if len(usable) > 1 else []
    curves: dict[int, list[Roc | None]] = {at: curves_drawn(roc_rows(own == at, everyone), counts) for at in usable}
    found = []
    for (first, name, auc), (second, other, its_auc) in combinations(largest, 2):
        statuses: set[Status] = {auc.status, its_auc.status}
        if statuses != {"ok"}:
            worst: Status = "too_few" if "too_few" in statuses else "not_estimable"
            found.append(PairOfGroups(first=name, second=other, abroca=Abroca(status=worst)))
            continue
        both = (group == first) | (group == second)
        number = np.cumsum(both) - 1
        found.append(
            PairOfGroups(
                first=name,
                second=other,
                abroca=abroca_of(
                    roc_rows(own == first, number),
                    roc_rows(own == second, number),
                    areas_drawn(curves, first, second),
                    roc_rows(both[rows.student], number),
                    group[both] == first,
                    confidence=confidence,
                    resamples=resamples,
                    seed=seed,
                ),
            )
        )
    areas = corrected([pair.abroca for pair in found], confidence)
    return [replace(pair, abroca=its) for pair, its in zip(found, areas, strict=True)]
