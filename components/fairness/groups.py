"""Compares the groups of one attribute: each group's measures with n and intervals, and the gaps between groups.

A group that is too small shows no number at all (in `groups.json` not even its name), and no total here includes it, so
that nothing in this table gives its numbers back by subtraction. Totals elsewhere, the evaluation's own and other
attributes' tables, are over all students: `components/fairness/suppression.py` says who is left out because of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.errors import SchemaError
from components.evaluate.estimates import Estimate as Estimate
from components.evaluate.estimates import estimate_of, measured
from components.evaluate.measures import CLASSES, SHARES
from components.evaluate.rows import ScoredRows as ScoredRows
from components.fairness.config import FairnessConfig
from components.fairness.gaps import Departure, Difference, Sample, departures_of, differences_of
from components.fairness.summary import MAX_GROUPS as MAX_GROUPS
from components.fairness.summary import SUMMARIES, Summary, SummaryOf, Usable, summaries_of

UNKNOWN = "unknown"
"""Group of the students whose attribute is not known."""


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
    summary: Mapping[str, Summary] = field(default_factory=dict)
    """One number over all groups for each of `components/fairness/summary.py`."""
    levels: Mapping[str, tuple[Departure, ...]] = field(default_factory=dict)
    """Of the measures whose level in each group has a limit: each group's value, the lowest first. Empty as above."""
    samples: Mapping[str, Sample] = field(default_factory=dict, compare=False, repr=False)
    """Measure -> the resampled values of the groups with an estimate, for `components/fairness/family.py`."""

    def with_left_out(self, names: Sequence[str]) -> "Comparison":
        """Return the comparison with groups of which nobody was in the tables, as too small ones."""
        gone = (Group(name=name, status="too_few", estimates={}) for name in names)
        return replace(self, groups=(*self.groups, *gone))  # behind the others: their indices stay

    def estimable(self, measure: str) -> int:
        """Return how many groups have an estimate of `measure`."""
        return sum(g.status == "ok" and g.estimates[measure].status == "ok" for g in self.groups)


def compare_groups(
    rows: ScoredRows, values: Sequence[str | None], config: FairnessConfig, *, hidden: Collection[str] = ()
) -> Comparison:
    """Return the comparison of the groups that one attribute makes.

    Args:
        rows: the scored predictions.
        values: (S,) each student's value of the attribute; None is the group `unknown`.
        config: sizes, resamples, confidence, seed.
        hidden: groups that are shown as little as one that is too small; see `components/fairness/suppression.py`.

    Raises:
        SchemaError: the arrays do not fit together, or hold what is no probability, label or weight.
    """
    rows.check()
    if len(rows.label) and rows.students != len(values):
        raise SchemaError(
            f"The rows are of {rows.students} students, the attribute has {len(values)} values. Give one value for "
            "each student, None where it is not known."
        )
    rows = rows.counted()
    names, group = numbered(values)
    found = measured(
        rows, group[rows.student], len(names), resamples=config.resamples, seed=config.seed, students=len(values)
    )
    shown = (found.students >= config.min_students) & (found.rows >= config.min_scored)
    shown &= ~np.isin(names, list(hidden))
    return assembled(
        names,
        Sizes(students=found.students, scored=found.rows, shown=shown),
        value=found.value,
        drawn=found.drawn,
        enough={
            m: np.full(len(names), not CLASSES[m]) | (found.rarer[m] >= config.min_rarer_class) for m in found.value
        },
        confidence=config.confidence,
        noise=found.noise,
        summaries=SUMMARIES,
        shares=SHARES,
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
    noise: Mapping[str, npt.NDArray[np.float64]] | None = None,
    summaries: Mapping[str, SummaryOf] | None = None,
    shares: Collection[str] = (),
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
        noise: measure -> (B, G) of those whose interval is value -+ noise; see `components/evaluate/estimates.py`.
        summaries: name -> which one number over all groups is wanted.
        shares: measures that are shares; see `interval_of`.
    """
    noise = noise or {}
    found = []
    for g, name in enumerate(names):
        if not sizes.shown[g]:
            found.append(Group(name=name, status="too_few", estimates={}))
            continue
        students = int(sizes.students[g])
        estimates = {
            m: estimate_of(
                float(value[m][g]),
                drawn[m][:, g],
                enough=bool(enough[m][g]),
                students=students,
                confidence=confidence,
                noise=noise[m][:, g] if m in noise else None,
                is_share=m in shares,
            )
            for m in value
        }
        found.append(Group(name=name, status="ok", students=students, scored=int(sizes.scored[g]), estimates=estimates))
    usable = {
        m: Usable(
            groups=tuple(_usable(found, m)),
            shown=sum(g.status == "ok" for g in found),
            too_few=any(g.status == "ok" and g.estimates[m].status == "too_few" for g in found),
        )
        for m in value
    }
    samples = {
        m: Sample(
            groups=one.groups,
            values=value[m][list(one.groups)],
            drawn=drawn[m][:, list(one.groups)],
            students=sizes.students[list(one.groups)],
        )
        for m, one in usable.items()
        if 2 <= len(one.groups) <= MAX_GROUPS  # one group alone is compared with itself
    }
    return Comparison(
        groups=tuple(found),
        differences={m: differences_of(samples[m], confidence) if m in samples else () for m in value},
        departures={m: departures_of(samples[m], confidence) if m in samples else () for m in from_zero},
        summary=summaries_of(
            summaries or {},
            usable,
            value=value,
            drawn=drawn,
            students=sizes.students,
            confidence=confidence,
            noise=noise,
        ),
        samples=samples,
    )


def numbered(values: Sequence[str | None]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the groups' names, sorted, `unknown` last, and each student's index among them."""
    named = [UNKNOWN if v is None else v for v in values]
    names = sorted(set(named), key=lambda n: (n == UNKNOWN, n))
    index = {name: i for i, name in enumerate(names)}
    return names, np.fromiter((index[n] for n in named), np.int64, len(named))


def _usable(groups: Sequence[Group], measure: str) -> list[int]:
    return [i for i, g in enumerate(groups) if g.status == "ok" and g.estimates[measure].status == "ok"]
