"""Compares the groups of one attribute by how well the model grades them.

What the groups of `components/fairness/groups.py` keep to holds here as well: a group that is too small shows no number
and is named nowhere. Its students are left out of the means and standard deviations that others are measured by, too:
differences of standardised means add up to 0 over all whom they were standardised by, so that those of the groups shown
would give the hidden one's away.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.evaluate.curves import distribution_json
from components.fairness.groups import MAX_GROUPS, Comparison, Sizes, assembled, numbered
from components.writing.agreement import Pair
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.fairness.explained import MEANINGS as EXPLAINED
from components.writing.fairness.explained import Explained, explained_by
from components.writing.fairness.measures import (
    FROM_ZERO,
    OF_TWO_RATERS,
    SHARES,
    SUMMARIES,
    WritingRows,
    measures_of,
    row_values,
)
from components.writing.scale import RowScales
from components.writing.sums import drawn_sums, whole_sums

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingComparison:
    """The groups of one attribute, and how much of the errors they explain."""

    groups: Comparison
    explained: dict[str, Explained]
    """`osa`, `osd`, `csd`, over the groups that are large enough to be shown."""
    curves: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    """Group -> `distribution` and `human_distribution`, for the groups that are shown."""


def compare_groups(
    rows: WritingRows, values: Sequence[str | None], config: WritingFairnessConfig, *, hidden: Collection[str] = ()
) -> WritingComparison:
    """Return the comparison of the groups that one attribute makes.

    Args:
        rows: the held-out responses.
        values: (S,) each student's value of the attribute; None is the group `unknown`.
        config: sizes, resamples, confidence, seed.
        hidden: groups that are shown as little as one that is too small; see `components/fairness/suppression.py`.
    """
    names, group = numbered(values)
    prompts, groups = len(rows.scales), len(names)
    own = group[rows.student]
    cell = rows.prompt * groups + own
    columns, places = row_values(rows)
    shape = (prompts, groups, columns.shape[1])
    whole = whole_sums(columns, cell, prompts * groups).reshape(shape)
    drawn = drawn_sums(
        columns,
        cell,
        prompts * groups,
        rows.student,
        students=len(group),
        resamples=config.resamples,
        seed=config.seed,
    ).reshape(config.resamples, *shape)
    scored, double = (Pair(whole[..., place]).n.sum(axis=0) for place in (places[0], places[2]))
    graded = np.unique(rows.student[rows.is_graded])  # who has no score adds nothing that could hide another's
    students = np.bincount(group[graded], minlength=groups)
    shown = (students >= config.min_students) & (scored >= config.min_scored)
    shown &= ~np.isin(names, list(hidden))
    whole[:, ~shown], drawn[:, :, ~shown] = 0.0, 0.0
    used = Pair(whole[..., places[0]]).n >= config.min_prompt_scored
    point = measures_of(whole, places, rows.scales, used)
    enough = {m: double >= config.min_scored if m in OF_TWO_RATERS else np.ones(groups, np.bool_) for m in point}
    comparison = assembled(
        names,
        Sizes(students=students, scored=scored.astype(np.int64), shown=shown),
        value=point,
        drawn=measures_of(drawn, places, rows.scales, used),
        enough=enough,
        confidence=config.confidence,
        from_zero=FROM_ZERO,
        summaries=SUMMARIES,
        shares=SHARES,
    )
    return WritingComparison(
        groups=comparison,
        explained=_explained(rows, own, shown),
        curves={names[g]: _curves(rows, own == g, config) for g in np.flatnonzero(shown).tolist()},
    )


def _curves(rows: WritingRows, own: npt.NDArray[np.bool_], config: WritingFairnessConfig) -> dict[str, JsonValue]:
    """Return the distributions of a group's predictions and human scores over tenths of the rubric's range."""
    at = own & rows.is_graded
    scales = RowScales.of(rows.scales, rows.prompt[at])
    sizes = {"min_rows": config.min_scored, "min_students": config.min_students}
    return {
        name: distribution_json(np.clip((values[at] - scales.low) / scales.width, 0.0, 1.0), rows.student[at], **sizes)
        for name, values in (("distribution", rows.raw), ("human_distribution", rows.score))
    }


def _explained(rows: WritingRows, group: npt.NDArray[np.int64], shown: npt.NDArray[np.bool_]) -> dict[str, Explained]:
    """Return what the groups explain, over graded responses of groups that are shown and prompts with varied scores."""
    if not 2 <= shown.sum() <= MAX_GROUPS:
        return dict.fromkeys(EXPLAINED, Explained())
    scales = RowScales.of(rows.scales, rows.prompt)
    human, raw = scales.in_steps(rows.score), scales.in_steps(rows.raw)
    spread = np.full(len(rows.scales), np.nan)
    for p in range(len(rows.scales)):
        scores = human[(rows.prompt == p) & rows.is_graded & shown[group]]
        if len(scores) > 1:
            spread[p] = scores.std(ddof=1)
    unit = spread[rows.prompt]
    kept = rows.is_graded & shown[group] & (unit > 0)
    _, known = np.unique(np.stack([rows.prompt[kept], human[kept]]), axis=1, return_inverse=True)
    error = (raw[kept] - human[kept]) / unit[kept]
    return explained_by(group[kept], error, np.asarray(known, np.int64).reshape(-1))
