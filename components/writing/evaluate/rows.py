"""The responses that a model and humans have both scored, and what each adds to the sums that figures are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from components.writing.agreement import pair_values
from components.writing.scale import RowScales, Scale

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A set of predictions of N rows, on the rubric's scale."""

    raw: Floats
    """(N,) before rounding."""
    low: Floats | None = None
    """(N,) lower end of the interval; None where the model gives none."""
    high: Floats | None = None
    label: Floats | None = None
    """(N,) the score to give; None where it is the nearest to `raw`."""

    def at(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the predictions of some rows."""
        return type(self)(
            raw=self.raw[rows],
            low=None if self.low is None else self.low[rows],
            high=None if self.high is None else self.high[rows],
            label=None if self.label is None else self.label[rows],
        )

    def within(self, scales: RowScales) -> Self:
        """Return the predictions, those beyond the ends of the scale as these ends."""
        ends = (None if values is None else scales.clipped(values) for values in (self.low, self.high))
        low, high = ends
        return type(self)(raw=scales.clipped(self.raw), low=low, high=high, label=self.label)

    def given(self, scales: RowScales) -> Floats:
        """Return (N,) the scores to give: ones that the scale has."""
        return scales.rounded(self.raw if self.label is None else self.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """What humans said of N rows, S students and P prompts."""

    score: Floats
    """(N,) the resolved score, on the rubric's scale."""
    prompt: npt.NDArray[np.int64]
    """(N,) index among the prompts."""
    student: npt.NDArray[np.int64]
    """(N,) index of the student, each of 0 ... S - 1 at least once."""
    ratings: Floats
    """(N, K) single raters' scores on the scale that they used, NaN where there is none; K may be 0."""
    scales: Sequence[Scale]
    """(P,) of the score."""

    @property
    def students(self) -> int:
        """S."""
        return int(self.student.max()) + 1 if len(self.student) else 0

    @property
    def row_scales(self) -> RowScales:
        """Each row's scale."""
        return RowScales.of(self.scales, self.prompt)

    @property
    def is_double_scored(self) -> npt.NDArray[np.bool_]:
        """(N,) whether raters 1 and 2 have both scored the response."""
        if self.ratings.shape[1] < 2:
            return np.zeros(len(self.score), np.bool_)
        return np.asarray(np.isfinite(self.ratings[:, :2]).all(axis=1))

    def at(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return some rows, their students numbered anew."""
        _, student = np.unique(self.student[rows], return_inverse=True)
        return type(self)(
            score=self.score[rows],
            prompt=self.prompt[rows],
            student=student.astype(np.int64),
            ratings=self.ratings[rows],
            scales=self.scales,
        )


INTERVAL_COLUMNS = ("with_interval", "covered", "width")
"""Columns of `interval_values`."""


def rounded_values(human: Human, found: Predicted) -> Floats:
    """Return each row's share in the agreement of the human score and the rounded prediction."""
    scales = human.row_scales
    return pair_values(scales.in_steps(human.score), scales.in_steps(found.given(scales)))


def raw_values(human: Human, found: Predicted) -> Floats:
    """Return each row's share in the agreement of the human score and the prediction before rounding."""
    scales = human.row_scales
    return pair_values(scales.in_steps(human.score), scales.in_steps(found.raw))


def interval_values(human: Human, found: Predicted) -> Floats:
    """Return (N, 3): whether there is an interval, whether it holds the human score, its width in rubric ranges."""
    if found.low is None or found.high is None:
        return np.zeros((len(human.score), len(INTERVAL_COLUMNS)))
    inside = (found.low <= human.score) & (human.score <= found.high)
    return np.stack([np.ones(len(inside)), inside, (found.high - found.low) / human.row_scales.width], axis=1)


def rater_values(human: Human) -> Floats:
    """Return each row's share in the agreement of raters 1 and 2, on their own scale."""
    both = human.is_double_scored
    if not both.any():
        return pair_values(human.score, human.score, both)
    return pair_values(human.ratings[:, 0], human.ratings[:, 1], both)


def beside_raters_values(human: Human, found: Predicted) -> Floats:
    """Return what `rounded_values` does of the double-scored rows alone, the others 0."""
    return rounded_values(human, found) * human.is_double_scored[:, None]
