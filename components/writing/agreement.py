"""Agreement of two scores of the same responses, from sums over rows: kappa, correlation, differences.

Definitions are RSMTool's (Madnani & Loukina 2016; its `utils/metrics`), which are Williamson, Xi & Breyer's (2012)
where these give one: standard deviations of SMD with N - 1, variances of kappa with N. A figure that the numbers do not
decide (0 / 0) is NaN, never 0.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

COLUMNS = ("n", "x", "y", "xx", "yy", "xy", "squared", "exact", "adjacent")
"""Columns of `pair_values`: sums of these decide every figure."""
NEARLY = 1e-9
"""Two scores closer than this, in steps of the scale, are the same score."""
FLAT = 1e-12
"""A variance below this share of the mean square is rounding: the values are all the same."""


def pair_values(x: Floats, y: Floats, counts: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Return (N, len(COLUMNS)): what each row adds to each sum.

    Args:
        x: (N,) the score that is compared with, in steps of the scale, 0 the lowest: whole numbers add up exactly.
        y: (N,) the score that is judged, in the same unit.
        counts: (N,) False for rows that take no part, which may hold NaN; None: all take part.
    """
    if counts is not None:
        x, y = np.where(counts, x, 0.0), np.where(counts, y, 0.0)
    apart = np.abs(x - y)
    columns = (np.ones(len(x)), x, y, x * x, y * y, x * y, apart**2, apart < NEARLY, apart < 1.0 + NEARLY)
    out = np.stack([np.asarray(c, np.float64) for c in columns], axis=1)
    return out if counts is None else out * counts[:, None]


@dataclass(frozen=True, slots=True)
class Pair:
    """Sums over rows, of any shape (...,); every figure has that shape.

    `qwk` is NaN where x is all one value: then nothing is to be agreed on. Where only y is all one value it is 0, as
    for scikit-learn: a constant agrees no better than chance.
    """

    sums: Floats
    """(..., len(COLUMNS))."""

    def __getitem__(self, name: str) -> Floats:
        return self.sums[..., COLUMNS.index(name)]

    @property
    def n(self) -> Floats:
        """Rows."""
        return self["n"]

    @property
    def mean_x(self) -> Floats:
        """Mean of x."""
        return ratio(self["x"], self.n)

    @property
    def mean_y(self) -> Floats:
        """Mean of y."""
        return ratio(self["y"], self.n)

    @property
    def variance_x(self) -> Floats:
        """Variance of x with N; exactly 0 where all are alike."""
        return self._variance("x", "xx")

    @property
    def variance_y(self) -> Floats:
        """Variance of y with N; exactly 0 where all are alike."""
        return self._variance("y", "yy")

    @property
    def covariance(self) -> Floats:
        """Covariance with N."""
        return ratio(self["xy"] - self["x"] * ratio(self["y"], self.n), self.n)

    def _variance(self, name: str, square: str) -> Floats:
        total = self[square] - self[name] * ratio(self[name], self.n)
        return np.where(total > FLAT * self[square], ratio(total, self.n), np.where(self.n > 0, 0.0, np.nan))

    def qwk(self) -> Floats:
        """Quadratic weighted kappa (Cohen 1968) as Haberman (2019) writes it, which also takes scores between points.

        2 cov / (var x + var y + (mean x - mean y)^2); on scores equally far apart it is Cohen's.
        """
        spread = self.variance_x
        below = spread + self.variance_y + (self.mean_x - self.mean_y) ** 2
        return ratio(2.0 * np.where(self.variance_y > 0, self.covariance, 0.0), np.where(spread > 0, below, np.nan))

    def pearson(self) -> Floats:
        """Pearson's correlation; NaN where either is all one value."""
        return ratio(self.covariance, np.sqrt(self.variance_x * self.variance_y))

    def smd(self) -> Floats:
        """(mean y - mean x) / sd x with N - 1: standardised mean difference, "unpooled"."""
        return ratio(self.mean_y - self.mean_x, self.sd_x())

    def sd_x(self) -> Floats:
        """Standard deviation of x with N - 1."""
        return np.sqrt(self.variance_x * ratio(self.n, self.n - 1.0))

    def sd_y(self) -> Floats:
        """Standard deviation of y with N - 1."""
        return np.sqrt(self.variance_y * ratio(self.n, self.n - 1.0))

    def rmse(self) -> Floats:
        """Root of the mean squared difference, in steps of the scale."""
        return np.sqrt(ratio(self["squared"], self.n))

    def exact(self) -> Floats:
        """Share of rows where both are the same score."""
        return ratio(self["exact"], self.n)

    def adjacent(self) -> Floats:
        """Share of rows where both are at most one step apart, the same score included."""
        return ratio(self["adjacent"], self.n)


def ratio(top: Floats, bottom: Floats) -> Floats:
    """Return top / bottom, NaN where the bottom is not above 0."""
    top, bottom = np.broadcast_arrays(top, bottom)
    out = np.full(np.shape(bottom), np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out
