"""One number over all groups of an attribute, with an interval: what fairness toolkits report, by their names.

Every interval is made from intervals that hold for all groups, or all pairs of groups, at once
(`components/fairness/gaps.py`), as the widest of many gaps is wide by chance: the true widest gap lies between the
largest lower end and the largest upper end of all pairs. Point estimates are fairlearn's: over the rows of each group,
largest less smallest (`..._difference`) or smallest over largest (`..._ratio`); equalized odds is the wider of the gaps
in true and in false positive rates (Hardt, Price & Srebro 2016).

A figure that fewer than two groups can be judged on is `too_few` or `not_estimable`, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import MAX_UNDEFINED
from components.evaluate.measures import AUC, ECE
from components.fairness.gaps import Sample, departures_of, differences_of

Floats = npt.NDArray[np.float64]

MAX_GROUPS = 100
"""Between more groups than this (of a free text, say) no differences are computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryOf:
    """How a summary is made from measures."""

    kind: Literal["difference", "ratio", "lowest", "highest", "farthest"]
    """Largest less smallest; smallest over largest; the smallest; the largest; the largest distance from 0."""
    measures: tuple[str, ...]
    """Of several, the widest difference of any."""
    meaning: str


SUMMARIES = {
    "demographic_parity_difference": SummaryOf(
        kind="difference", measures=("selection_rate",), meaning="largest less smallest share predicted right"
    ),
    "demographic_parity_ratio": SummaryOf(
        kind="ratio", measures=("selection_rate",), meaning="smallest over largest share predicted right"
    ),
    "equalized_odds_difference": SummaryOf(
        kind="difference",
        measures=("true_positive_rate", "false_positive_rate"),
        meaning="the wider of the gaps in true and in false positive rates",
    ),
    "equal_opportunity_difference": SummaryOf(
        kind="difference", measures=("true_positive_rate",), meaning="gap in true positive rates"
    ),
    "worst_group_auc": SummaryOf(kind="lowest", measures=(AUC,), meaning="AUC of the group where it is lowest"),
    "auc_gap": SummaryOf(kind="difference", measures=(AUC,), meaning="largest less smallest AUC"),
    "calibration_gap": SummaryOf(
        kind="difference", measures=("calibration",), meaning="largest less smallest (mean probability - mean label)"
    ),
    "max_calibration_error": SummaryOf(
        kind="farthest", measures=("calibration",), meaning="largest |mean probability - mean label| of a group"
    ),
    "max_ece": SummaryOf(kind="highest", measures=(ECE,), meaning="ECE of the group where it is highest"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """The groups that a measure can be judged on."""

    groups: tuple[int, ...]
    """Indices of those with an estimate."""
    shown: int
    """Groups of enough size."""
    too_few: bool
    """Whether a group of enough size has too few rows of a class for this measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One number over all groups. `value` is None unless `status` is `ok`."""

    status: Literal["ok", "too_few", "not_estimable"]
    groups: int
    """How many groups it was judged on."""
    shown: int
    """Of how many that are large enough to be shown: the others are not in the figure."""
    value: float | None = None
    low: float | None = None
    high: float | None = None


def summaries_of(
    wanted: Mapping[str, SummaryOf],
    usable: Mapping[str, Usable],
    *,
    value: Mapping[str, Floats],
    drawn: Mapping[str, Floats],
    students: npt.NDArray[np.int64],
    confidence: float,
    noise: Mapping[str, Floats] | None = None,
) -> dict[str, Summary]:
    """Return name -> summary.

    Args:
        wanted: name -> how it is made.
        usable: measure -> the groups to judge it on.
        value: measure -> (G,).
        drawn: measure -> (R, G) the same of each resample.
        students: (G,) in each group.
        confidence: of each summary's interval.
        noise: measure -> (R, G) of those that chance only pushes up; see `components/evaluate/estimates.py`.
    """
    return {
        name: _summary(one, [usable[m] for m in one.measures], value, drawn, students, confidence, noise or {})
        for name, one in wanted.items()
    }


def _summary(
    one: SummaryOf,
    usable: list[Usable],
    value: Mapping[str, Floats],
    drawn: Mapping[str, Floats],
    students: npt.NDArray[np.int64],
    confidence: float,
    noise: Mapping[str, Floats],
) -> Summary:
    fewest = min(usable, key=lambda u: len(u.groups))
    groups, shown = len(fewest.groups), fewest.shown
    if not 2 <= groups <= MAX_GROUPS:
        is_small = shown < 2 or any(u.too_few for u in usable)
        return Summary(status="too_few" if is_small else "not_estimable", groups=groups, shown=shown)
    parts: list[tuple[float, float, float] | None] = []
    for measure, its in zip(one.measures, usable, strict=True):
        at = list(its.groups)
        # Several measures: each one's intervals hold with the share of confidence that leaves all holding together.
        own = 1.0 - (1.0 - confidence) / len(one.measures)
        if one.kind == "highest" and measure in noise:
            parts.append(_highest(value[measure][at], noise[measure][:, at], own))
        else:
            parts.append(_of_kind(one.kind, value[measure][at], drawn[measure][:, at], students[at], own))
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return Summary(status="not_estimable", groups=groups, shown=shown)
    number, low, high = (max(ends) for ends in zip(*found, strict=True))
    return Summary(status="ok", groups=groups, shown=shown, value=number, low=low, high=high)


def _of_kind(
    kind: str, values: Floats, drawn: Floats, students: npt.NDArray[np.int64], confidence: float
) -> tuple[float, float, float] | None:
    """Return value, lower and upper end over (G,) values; None where they decide nothing."""
    if kind == "difference":
        pairs = differences_of(_sample(values, drawn, students), confidence)
        return pairs[0].value, max(0.0, *(d.low for d in pairs)), max(d.high for d in pairs)
    if kind == "ratio":
        return _ratio(values, drawn, students, confidence)
    each = departures_of(_sample(values, drawn, students), confidence)
    if kind == "lowest":
        return min(d.value for d in each), min(d.low for d in each), min(d.high for d in each)
    if kind == "highest":
        return max(d.value for d in each), max(0.0, *(d.low for d in each)), max(d.high for d in each)
    nearest = (max(0.0, d.low, -d.high) for d in each)
    return max(abs(d.value) for d in each), max(nearest), max(max(-d.low, d.high) for d in each)


def _highest(values: Floats, noise: Floats, confidence: float) -> tuple[float, float, float]:
    """Return the largest of (G,) values that chance pushes up, each value -+ its noise, all holding at once."""
    half = np.nanquantile(noise, 1.0 - (1.0 - confidence) / len(values), axis=0)
    return float(values.max()), float(max(0.0, *(values - half))), float((values + half).max())


def _ratio(
    values: Floats, drawn: Floats, students: npt.NDArray[np.int64], confidence: float
) -> tuple[float, float, float] | None:
    """Return smallest over largest rate, by the differences of their logarithms.

    A rate of 0 has no logarithm, and resampling it gives 0 for ever: the ratio is then 0, and its upper end the
    Clopper-Pearson one of 0 in so many students, over the largest rate. A rate so small that many resamples have 0 is
    known no better than that.
    """
    if not values.max() > 0.0:
        return None
    rare = (drawn <= 0.0).mean(axis=0) > MAX_UNDEFINED
    none = values <= 0.0
    most = 0.0
    if none.any() or rare.any():
        smallest = int(students[none | rare].min())
        most = float(min(1.0, (1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / smallest)) / values.max()))
    if none.any():
        return 0.0, 0.0, most
    logs = np.log(drawn, out=np.full_like(drawn, np.nan), where=drawn > 0.0)
    pairs = differences_of(_sample(np.log(values), logs, students), confidence)
    widest, least = max(d.high for d in pairs), max(0.0, *(d.low for d in pairs))
    low = 0.0 if rare.any() else float(np.exp(-widest))
    return float(values.min() / values.max()), low, max(float(np.exp(-least)), most)


def _sample(values: Floats, drawn: Floats, students: npt.NDArray[np.int64]) -> Sample:
    return Sample(groups=tuple(range(len(values))), values=values, drawn=drawn, students=students)
