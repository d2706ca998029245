"""The gate: whether the gaps between groups keep within the limits, said as one of four verdicts with reasons.

- `fail`: some two groups differ by more than a limit, and the interval of their difference lies above 0.
- `not_estimable`: nothing fails, but a limit could not be judged: fewer than two groups can be estimated, or a gap is
  wider than its limit while the interval reaches 0, so that chance may have made it.
- `pass`: every gap with a limit is at most that limit, as far as groups are large enough to be judged.
- `no_groups`: there is no attribute to compare by.

A pass is a statement about these gaps in these data, not about the model as such, nor about groups too small to see.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from components.fairness.config import FairnessConfig
from components.fairness.gaps import Difference
from components.fairness.groups import MAX_GROUPS, Comparison

Verdict = Literal["pass", "fail", "not_estimable", "no_groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict and one sentence for each thing that led to it or that it leaves out."""

    verdict: Verdict
    reasons: tuple[str, ...]


def limits_of(config: FairnessConfig) -> dict[str, float]:
    """Return measure -> limit for those that are on."""
    limits = {
        "auc": config.max_auc_gap,
        "accuracy": config.max_accuracy_gap,
        "calibration": config.max_calibration_gap,
    }
    return {measure: limit for measure, limit in limits.items() if limit > 0.0}


def judge(comparisons: Mapping[str, Comparison], config: FairnessConfig) -> Judgement:
    """Return the verdict over all attributes and limits.

    Args:
        comparisons: attribute -> its groups.
        config: the limits, and the confidence that the intervals have.
    """
    if not comparisons:
        return Judgement(verdict="no_groups", reasons=("the logs have no group attribute to compare by",))
    limits = limits_of(config)
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
        for measure, limit in limits.items():
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
            wide = [d for d in comparison.differences[measure] if d.value > limit]
            sure = [d for d in wide if d.is_told_apart]
            if sure:
                failed.append(_sentence(attribute, measure, comparison, sure[0], limit, config))
            elif wide:
                line = _sentence(attribute, measure, comparison, wide[0], limit, config)
                unclear.append(f"{line}, but the interval reaches 0: chance may have made the gap")
    verdict: Verdict = "fail" if failed else "not_estimable" if unclear else "pass"
    return Judgement(verdict=verdict, reasons=(*failed, *unclear, *notes))


def _sentence(
    attribute: str, measure: str, comparison: Comparison, gap: Difference, limit: float, config: FairnessConfig
) -> str:
    higher, lower = comparison.groups[gap.higher].name, comparison.groups[gap.lower].name
    return (
        f"{attribute}: {measure} is {gap.value:.3f} higher for {higher!r} than for {lower!r} "
        f"({config.confidence * 100:g}% interval {gap.low:.3f} to {gap.high:.3f}), the limit is {limit:g}"
    )
