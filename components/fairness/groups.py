"""Compares the groups of one attribute: each group's measures with n and intervals, and the gaps between groups.

A group that is too small shows no number at all (in `groups.json` not even its name), and no total here includes it, so
that nothing in this table gives its numbers back by subtraction. (The evaluation's own totals are over all students:
whoever has both files and a table of unrounded numbers could subtract; `groups.json` is rounded to three decimals for
that reason.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import GroupedAuc, interval_of, resampled_students, student_sums
from components.evaluate.metrics import is_right
from components.fairness.config import FairnessConfig
from components.fairness.gaps import Departure, Difference, Sample, departures_of, differences_of
from components.fairness.measures import AUC, CLASSES, COLUMNS, MEANINGS, ratios_of, row_values

UNKNOWN = "unknown"
"""Group of the students whose attribute is not known."""
MAX_GROUPS = 100
"""Between more groups than this (of a free text, say) no differences are computed."""

Status = Literal["ok", "too_few", "not_estimable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRows:
    """Held-out predictions that count, N rows of S students."""

    student: npt.NDArray[np.int64]
    """(N,) index of the student, each of 0 ... S - 1 at least once."""
    label: npt.NDArray[np.float32]
    """(N,) in [0, 1]."""
    probability: npt.NDArray[np.float32]
    """(N,) in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measure in one group. `value` is None unless `status` is `ok`."""

    status: Status
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group. Where it is too small, the counts are None and there are no estimates."""

    name: str
    status: Literal["ok", "too_few"]
    students: int | None = None
    scored: int | None = None
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The groups of one attribute and, by measure, all differences between those with an estimate, the widest first."""

    groups: tuple[Group, ...]
    differences: Mapping[str, tuple[Difference, ...]]
    """Indices are into `groups`. Empty where fewer than two groups have an estimate, or more than `MAX_GROUPS`."""
    departures: Mapping[str, tuple[Departure, ...]] = field(default_factory=dict)
    """Of the measures that all students together have as 0: each group's value, the farthest first. Empty as above."""
    levels: Mapping[str, tuple[Departure, ...]] = field(default_factory=dict)
    """Of the measures whose level in each group has a limit: each group's value, the lowest first. Empty as above."""
    samples: Mapping[str, Sample] = field(default_factory=dict, compare=False, repr=False)
    """Measure -> the resampled values of the groups with an estimate, for `components/fairness/family.py`."""

    def estimable(self, measure: str) -> int:
        """Return how many groups have an estimate of `measure`."""
        return sum(g.status == "ok" and g.estimates[measure].status == "ok" for g in self.groups)


def compare_groups(rows: ScoredRows, values: Sequence[str | None], config: FairnessConfig) -> Comparison:
    """Return the comparison of the groups that one attribute makes.

    Args:
        rows: the scored predictions.
        values: (S,) each student's value of the attribute; None is the group `unknown`.
        config: sizes, resamples, confidence, seed.
    """
    names, group = numbered(values)
    students = len(group)
    sums = student_sums(row_values(rows.label, rows.probability), rows.student, students)
    point = grouped(sums, group, len(names))
    count = dict(zip(COLUMNS, point.T, strict=True))
    in_group = np.bincount(group, minlength=len(names))
    shown = (in_group >= config.min_students) & (count["rows"] >= config.min_scored)
    auc = GroupedAuc(is_right(rows.label), rows.probability, rows.student, group[rows.student], len(names))

    value = ratios_of(point) | {AUC: auc(np.ones(students, np.int64))}
    drawn = {measure: np.empty((config.resamples, len(names))) for measure in value}
    for b, times in enumerate(resampled_students(students, config.resamples, config.seed)):
        resampled = ratios_of(grouped(sums * times[:, None], group, len(names))) | {AUC: auc(times)}
        for measure, result in resampled.items():
            drawn[measure][b] = result

    rarest = {m: np.min([count[c] for c in CLASSES[m]] or [np.full(len(names), np.inf)], axis=0) for m in MEANINGS}
    return assembled(
        names,
        Sizes(students=in_group, scored=count["rows"].astype(np.int64), shown=shown),
        value={m: value[m] for m in MEANINGS},
        drawn=drawn,
        enough={m: rarest[m] >= config.min_rarer_class for m in MEANINGS},
        confidence=config.confidence,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large G groups are, and which are large enough to show a number at all."""

    students: npt.NDArray[np.int64]
    scored: npt.NDArray[np.int64]
    shown: npt.NDArray[np.bool_]


def assembled(
    names: Sequence[str],
    sizes: Sizes,
    *,
    value: Mapping[str, npt.NDArray[np.float64]],
    drawn: Mapping[str, npt.NDArray[np.float64]],
    enough: Mapping[str, npt.NDArray[np.bool_]],
    confidence: float,
    from_zero: Sequence[str] = (),
) -> Comparison:
    """Return the comparison of G groups from each measure's values and resampled values.

    Args:
        names: of the groups.
        sizes: of the groups.
        value: measure -> (G,), NaN where it cannot be estimated.
        drawn: measure -> (B, G) the same of each resample.
        enough: measure -> (G,) False where so few rows decide on it that it reads `too_few`.
        confidence: of the intervals.
        from_zero: measures that are 0 over all students, whose departures from it are wanted.
    """
    found = []
    for g, name in enumerate(names):
        if not sizes.shown[g]:
            found.append(Group(name=name, status="too_few", estimates={}))
            continue
        students = int(sizes.students[g])
        estimates = {
            m: _estimate(value[m][g], drawn[m][:, g], bool(enough[m][g]), students=students, confidence=confidence)
            for m in value
        }
        found.append(Group(name=name, status="ok", students=students, scored=int(sizes.scored[g]), estimates=estimates))
    samples = {}
    for m in value:
        usable = [i for i, g in enumerate(found) if g.status == "ok" and g.estimates[m].status == "ok"]
        if 2 <= len(usable) <= MAX_GROUPS:  # one group alone is compared with itself
            samples[m] = Sample(
                groups=tuple(usable),
                values=value[m][usable],
                drawn=drawn[m][:, usable],
                students=sizes.students[usable],
            )
    return Comparison(
        groups=tuple(found),
        differences={m: differences_of(samples[m], confidence) if m in samples else () for m in value},
        departures={m: departures_of(samples[m], confidence) if m in samples else () for m in from_zero},
        samples=samples,
    )


def numbered(values: Sequence[str | None]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the groups' names, sorted, `unknown` last, and each student's index among them."""
    named = [UNKNOWN if v is None else v for v in values]
    names = sorted(set(named), key=lambda n: (n == UNKNOWN, n))
    index = {name: i for i, name in enumerate(names)}
    return names, np.fromiter((index[n] for n in named), np.int64, len(named))


def grouped(sums: npt.NDArray[np.floating], group: npt.NDArray[np.int64], groups: int) -> npt.NDArray[np.float64]:
    """Return (G, M), the sum of (S, M) over the students of each group."""
    return np.stack([np.bincount(group, weights=c, minlength=groups) for c in sums.T], axis=1)


def _estimate(
    value: float, drawn: npt.NDArray[np.float64], enough: bool, *, students: int, confidence: float
) -> Estimate:
    if np.isnan(value):
        return Estimate(status="not_estimable")
    if not enough:
        return Estimate(status="too_few")
    interval = interval_of(drawn, confidence=confidence, clusters=students)
    if interval.low is None:
        return Estimate(status="not_estimable")
    return Estimate(status="ok", value=float(value), low=interval.low, high=interval.high)
