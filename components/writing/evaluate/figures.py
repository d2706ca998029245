"""A figure with its interval, or with the reason why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import Interval, interval_of

Floats = npt.NDArray[np.float64]
Status = Literal["ok", "too_few", "not_estimable"]
NO_INTERVAL = Interval(low=None, high=None, undefined=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of one prompt, or of all. `value` is None unless `status` is `ok`."""

    status: Status
    value: float | None = None
    interval: Interval = NO_INTERVAL

    @property
    def number(self) -> float:
        """The value, NaN where there is none."""
        return np.nan if self.value is None else self.value


def figure_of(value: float, drawn: Floats, *, confidence: float, students: int) -> Figure:
    """Return the figure of a value and its resamples; NaN is a number that the data do not decide."""
    if not np.isfinite(value):
        return Figure(status="not_estimable")
    return Figure(
        status="ok", value=float(value), interval=interval_of(drawn, confidence=confidence, clusters=students)
    )


def figures_at(
    point: Mapping[str, Floats],
    drawn: Mapping[str, Floats],
    at: int,
    *,
    confidence: float,
    students: int,
    is_enough: bool = True,
) -> dict[str, Figure]:
    """Return the figures of one prompt from (P,) values and (R, P) resampled ones."""
    if not is_enough:
        return dict.fromkeys(point, Figure(status="too_few"))
    return {
        name: figure_of(float(point[name][at]), drawn[name][:, at], confidence=confidence, students=students)
        for name in point
    }


def absolute(figure: Figure) -> Figure:
    """Return the figure without its sign; an interval on both sides of 0 then begins at 0."""
    if figure.value is None:
        return figure
    low, high, undefined = figure.interval.low, figure.interval.high, figure.interval.undefined
    if low is not None and high is not None:
        ends = sorted((abs(low), abs(high)))
        low, high = (0.0 if low <= 0.0 <= high else ends[0]), ends[1]
    return Figure(status="ok", value=abs(figure.value), interval=Interval(low=low, high=high, undefined=undefined))
