"""Every measure in every group of rows, resampled by student: the one core of tables by group, skill or intersection.

A group may cut across students (a skill does). Rows are added up once for each pair of group and student; a resample of
whole students is then one matrix product, and one pass over the sorted rows for AUC.

Shapes: N rows, S students, G groups, P pairs of group and student that have a row, R resamples, M columns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import Counts, GroupedAuc, interval_of, resampled_students
from components.evaluate.calibration import BINS, bin_errors, noise_of
from components.evaluate.measures import AUC, CLASSES, ECE, MEANINGS, SHARES, measures_of, row_values
from components.evaluate.metrics import is_right
from components.evaluate.rows import ScoredRows, weighted

Floats = npt.NDArray[np.float64]
Status = Literal["ok", "too_few", "not_estimable"]

WEIGHTS_AT_ONCE = 4_000_000
"""So many weights (resamples times pairs) are held at a time: some tens of megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measure in one group. `value` is None unless `status` is `ok`."""

    status: Status
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The measures of `MEANINGS` in G groups, and in R resamples. NaN is a measure that the rows do not decide."""

    value: Mapping[str, Floats]
    """(G,)."""
    drawn: Mapping[str, Floats]
    """(R, G)."""
    noise: Mapping[str, Floats]
    """(R, G) of measures that chance only pushes up, a bound on how far it did so in each resample."""
    rows: npt.NDArray[np.int64]
    """(G,)."""
    students: npt.NDArray[np.int64]
    """(G,) students with a row."""
    rarer: Mapping[str, npt.NDArray[np.int64]]
    """(G,) rows of the rarer of the classes that a measure needs; all rows where it needs none."""


def measured(
    rows: ScoredRows,
    group: npt.NDArray[np.integer],
    groups: int,
    *,
    resamples: int,
    seed: int,
    students: int | None = None,
) -> Drawn:
    """Return every measure of each group, and of each resample of whole students.

    Args:
        rows: checked, and of weight above 0.
        group: (N,) index of each row's group, in [0, groups).
        groups: G.
        resamples: R, may be 0.
        seed: of the draws, which depend on it and on the number of students alone.
        students: S, where some have no row.
    """
    students = rows.students if students is None else students
    sums = PairSums.of(rows, group, groups, students)
    auc = GroupedAuc(is_right(rows.label), rows.probability, rows.student, group, groups, weight=rows.weight)
    whole = np.ones(students, np.int64)
    (own,) = sums.drawn(whole[None])
    value = measures_of(own[:, :-BINS], own[:, -BINS:]) | {AUC: auc(whole)}
    drawn = {name: np.empty((resamples, groups)) for name in MEANINGS}
    noise = {ECE: np.empty((resamples, groups))}
    at = 0
    for counts in drawn_in_parts(students, resamples, seed, width=len(sums.student)):
        part = sums.drawn(counts)
        place = slice(at, at + len(counts))
        found = measures_of(part[..., :-BINS], part[..., -BINS:])
        for name, values in found.items():
            drawn[name][place] = values
        noise[ECE][place] = noise_of(own[:, -BINS:], own[:, 0], part[..., -BINS:], part[..., 0])
        for r, one in enumerate(counts):
            drawn[AUC][at + r] = auc(one)
        at += len(counts)
    right = is_right(rows.label)
    count = {
        "rows": np.bincount(group, minlength=groups),
        "right": np.bincount(group[right], minlength=groups),
        "wrong": np.bincount(group[~right], minlength=groups),
    }
    return Drawn(
        value={name: value[name] for name in MEANINGS},
        drawn=drawn,
        noise=noise,
        rows=count["rows"],
        students=np.diff(sums.edges),
        rarer={name: np.min([count[c] for c in CLASSES[name] or ("rows",)], axis=0) for name in MEANINGS},
    )


def drawn_in_parts(students: int, resamples: int, seed: int, *, width: int) -> Iterator[Counts]:
    """Yield (r, S) how often each student was drawn, some resamples at a time; `width`: weights that each takes."""
    at_once = max(1, WEIGHTS_AT_ONCE // max(1, width, students))
    part = []
    for counts in resampled_students(students, resamples, seed):
        part.append(counts)
        if len(part) == at_once:
            yield np.stack(part)
            part = []
    if part:
        yield np.stack(part)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSums:
    """Sums over the rows of each pair of group and student, sorted by group."""

    student: npt.NDArray[np.int64]
    """(P,)."""
    edges: npt.NDArray[np.int64]
    """(G + 1,) where each group's pairs begin."""
    sums: Floats
    """(P, M) of `row_values` and, behind these, `bin_errors`."""

    @classmethod
    def of(cls, rows: ScoredRows, group: npt.NDArray[np.integer], groups: int, students: int) -> "PairSums":
        """Return the sums over rows; see `measured`."""
        key = group.astype(np.int64) * students + rows.student
        pairs, pair = np.unique(key, return_inverse=True)
        columns = weighted(row_values(rows.label, rows.probability), rows.weight)
        sums = [np.bincount(pair, weights=column, minlength=len(pairs)) for column in columns.T]
        errors = bin_errors(rows.label, rows.probability, pair, len(pairs), rows.weight)
        edges = np.searchsorted(pairs, np.arange(groups + 1, dtype=np.int64) * students)
        return cls(student=pairs % max(1, students), edges=edges, sums=np.hstack([np.stack(sums, axis=1), errors]))

    def drawn(self, counts: Counts) -> Floats:
        """Return (r, G, M) the sums with each student taken `counts[:, student]` times; (r, S)."""
        out = np.zeros((len(counts), len(self.edges) - 1, self.sums.shape[1]))
        for g, (begin, end) in enumerate(zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), strict=True)):
            if begin < end:
                out[:, g] = counts[:, self.student[begin:end]].astype(np.float64) @ self.sums[begin:end]
        return out


def estimate_of(
    value: float,
    drawn: Floats,
    *,
    enough: bool,
    students: int,
    confidence: float,
    noise: Floats | None = None,
    is_share: bool = False,
) -> Estimate:
    """Return the estimate of one measure in one group: percentiles of the resamples, or the value -+ noise.

    Args:
        value: NaN where the rows do not decide it.
        drawn: (R,) the same of each resample.
        enough: False where so few rows decide on it that it reads `too_few`.
        students: in the group.
        confidence: of the interval.
        noise: (R,) bounds as in `Drawn.noise`; the interval then ends at 0.
        is_share: see `interval_of`.
    """
    if np.isnan(value):
        return Estimate(status="not_estimable")
    if not enough:
        return Estimate(status="too_few")
    if noise is not None:
        # One-sided quantile, both ways: the bound holds for either direction.
        half = interval_of(noise, confidence=2.0 * confidence - 1.0, clusters=students).high
        if half is None:
            return Estimate(status="not_estimable")
        return Estimate(status="ok", value=float(value), low=max(0.0, value - half), high=float(value + half))
    interval = interval_of(drawn, confidence=confidence, clusters=students, is_share=is_share)
    if interval.low is None:
        return Estimate(status="not_estimable")
    return Estimate(status="ok", value=float(value), low=interval.low, high=interval.high)


def estimates_of(
    found: Drawn, *, confidence: float, min_rarer_class: int = 1, measures: tuple[str, ...] = tuple(MEANINGS)
) -> list[dict[str, Estimate]]:
    """Return for each group its measures as estimates.

    Args:
        found: the measures and their resamples.
        confidence: of the intervals.
        min_rarer_class: with fewer rows of a class that a measure needs, it reads `too_few`.
        measures: which ones.
    """
    return [
        {
            name: estimate_of(
                float(found.value[name][g]),
                found.drawn[name][:, g],
                enough=bool(not CLASSES[name] or found.rarer[name][g] >= min_rarer_class),
                students=int(found.students[g]),
                confidence=confidence,
                noise=found.noise[name][:, g] if name in found.noise else None,
                is_share=name in SHARES,
            )
            for name in measures
        }
        for g in range(len(found.rows))
    ]
