"""The gate: whether the gaps between groups keep within the limits, said as one of four verdicts with reasons.

- `fail`: some two groups differ by more than a limit, and the interval of their difference lies above 0; or one group
  is farther than a limit from what all students together have, and the interval leaves that out.
- `not_estimable`: nothing fails, but a limit could not be judged: fewer than two groups can be estimated, or a gap is
  wider than its limit while the interval reaches 0, so that chance may have made it.
- `pass`: every gap with a limit is at most that limit, as far as groups are large enough to be judged.
- `no_groups`: there is no attribute to compare by.

A pass is a statement about these gaps in these data, not about the model as such, nor about groups too small to see.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from components.fairness.gaps import Departure, Difference
from components.fairness.groups import MAX_GROUPS, Comparison

Verdict = Literal["pass", "fail", "not_estimable", "no_groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict and one sentence for each thing that led to it or that it leaves out."""

    verdict: Verdict
    reasons: tuple[str, ...]


class GateConfig(Protocol):
    """What the gate must know of a configuration."""

    @property
    def min_students(self) -> int:
        """Below so many students a group is not judged."""

    @property
    def min_scored(self) -> int:
        """Below so many scored answers a group is not judged."""

    @property
    def confidence(self) -> float:
        """Coverage of the intervals."""

    @property
    def gap_limits(self) -> dict[str, float]:
        """Measure -> largest difference between two groups, for those that are on."""

    @property
    def departure_limits(self) -> dict[str, float]:
        """Measure -> largest distance of a group from 0, which all students together have, for those that are on."""


def judge(comparisons: Mapping[str, Comparison], config: GateConfig) -> Judgement:
    """Return the verdict over all attributes and limits.

    Args:
        comparisons: attribute -> its groups.
        config: the limits, and the confidence that the intervals have.
    """
    if not comparisons:
        return Judgement(verdict="no_groups", reasons=("the logs have no group attribute to compare by",))
    limits = [(measure, limit, False) for measure, limit in config.gap_limits.items()]
    limits += [(measure, limit, True) for measure, limit in config.departure_limits.items()]
    failed: list[str] = []
    unclear: list[str] = []
    notes = [] if limits else ["no limit is set, so nothing was judged"]
    for attribute, comparison in comparisons.items():
        shown = sum(g.status == "ok" for g in comparison.groups)
        small = len(comparison.groups) - shown
        if small:
            notes.append(
                f"{attribute}: {small} of {len(comparison.groups)} groups have fewer than {config.min_students} "
                f"students or {config.min_scored} scored answers and were not judged"
            )
        for measure, limit, from_zero in limits:
            estimable = comparison.estimable(measure)
            if estimable > MAX_GROUPS:
                unclear.append(
                    f"{attribute}: {measure} has {estimable} groups, at most {MAX_GROUPS} are compared; give a coarser "
                    "attribute"
                )
                continue
            if estimable < 2:
                unclear.append(
                    f"{attribute}: {measure} can be estimated in {estimable} of {len(comparison.groups)} groups; a gap "
                    "needs two"
                )
                continue
            if estimable < shown:
                notes.append(f"{attribute}: {measure} can be estimated in {estimable} of {shown} groups of enough size")
            found = comparison.departures[measure] if from_zero else comparison.differences[measure]
            wide = [d for d in found if abs(d.value) > limit]
            sure = [d for d in wide if d.is_told_apart]
            if sure:
                failed.append(f"{attribute}: {_sentence(measure, comparison, sure[0], limit, config)}")
            elif wide:
                line = f"{attribute}: {_sentence(measure, comparison, wide[0], limit, config)}"
                unclear.append(f"{line}, but the interval reaches 0: chance may have made the gap")
    verdict: Verdict = "fail" if failed else "not_estimable" if unclear else "pass"
    return Judgement(verdict=verdict, reasons=(*failed, *unclear, *notes))


def _sentence(
    measure: str, comparison: Comparison, gap: Difference | Departure, limit: float, config: GateConfig
) -> str:
    if isinstance(gap, Difference):
        higher, lower = comparison.groups[gap.higher].name, comparison.groups[gap.lower].name
        said = f"{measure} is {gap.value:.3f} higher for {higher!r} than for {lower!r}"
    else:
        said = f"{measure} is {gap.value:+.3f} for {comparison.groups[gap.group].name!r}, where all together have 0"
    return f"{said} ({config.confidence * 100:g}% interval {gap.low:.3f} to {gap.high:.3f}), the limit is {limit:g}"
