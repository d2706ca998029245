"""Plain counts of one signal's live values. No value is kept: a request adds to a bin and to a group's sum.

Values of one student belong together, so the error of a mean is not that of as many independent values. Students are
therefore thrown into `GROUPS` groups by a hash of their pseudonym, all values of one student into one group; the groups
are independent, and how much they differ tells the error of the mean, whatever the values of a student have in common
(the random groups method; Wolter 2007, Introduction to Variance Estimation, ch. 2). A group is one of 32: it names
nobody. Standard library only.
"""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

GROUPS = 32
BLOCK = 16
"""So many values in a row, of requests that name no student, go into one group: those of one student are often
neighbours."""


def group_of(student: str, release: str) -> int:
    """Return the group of a pseudonym, in [0, GROUPS): the same in every worker, another for each release."""
    text = f"drift\n{release}\n{student}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=1).digest()[0] % GROUPS


@dataclass(slots=True, kw_only=True)
class SignalCounts:
    """What one signal did. `bins` has one count more than there are edges."""

    bins: list[int]
    numbers: list[int] = field(default_factory=lambda: [0] * GROUPS)
    """Values by group."""
    sums: list[float] = field(default_factory=lambda: [0.0] * GROUPS)
    squares: float = 0.0
    named: int = 0
    """Values of requests that named their student."""

    @property
    def count(self) -> int:
        """Values."""
        return sum(self.numbers)

    @property
    def mean(self) -> float:
        """Mean; NaN without values."""
        count = self.count
        return math.fsum(self.sums) / count if count else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation with n - 1; NaN with fewer than two values."""
        count = self.count
        if count < 2:
            return math.nan
        total = math.fsum(self.sums)
        return math.sqrt(max(0.0, (self.squares - total * total / count) / (count - 1)))

    @property
    def standard_error(self) -> float:
        """Of the mean, from the groups (Wolter 2007, eq. 2.4.3, of a ratio); NaN with fewer than two groups.

        With sums s_g and numbers n_g of G groups, n = sum of n_g and r = sum of s_g / n, it is the root of
        G / (G - 1) * sum of (s_g - r n_g)^2 / n^2.
        """
        filled = sum(1 for number in self.numbers if number)
        if filled < 2:
            return math.nan
        mean = self.mean
        off = math.fsum((s - mean * n) ** 2 for s, n in zip(self.sums, self.numbers, strict=True))
        return math.sqrt(filled / (filled - 1) * off) / self.count

    def add(self, value: float, edges: Sequence[float], group: int | None) -> None:
        """Count a value.

        Args:
            value: finite.
            edges: upper bounds of the bins, each included.
            group: of the student; None where the request named none.
        """
        self.bins[bisect_left(edges, value)] += 1
        if group is None:
            group = (self.bins_total // BLOCK) % GROUPS
        else:
            self.named += 1
        self.numbers[group] += 1
        self.sums[group] += value
        self.squares += value * value

    @property
    def bins_total(self) -> int:
        """Values, counted by the bins."""
        return sum(self.bins)

    def plus(self, other: "SignalCounts", sign: int = 1) -> "SignalCounts":
        """Return both together, or with `sign` -1 what was counted here since `other`.

        Raises:
            ValueError: they have other bins.
        """
        return SignalCounts(
            bins=[a + sign * b for a, b in zip(self.bins, other.bins, strict=True)],
            numbers=[a + sign * b for a, b in zip(self.numbers, other.numbers, strict=True)],
            sums=[a + sign * b for a, b in zip(self.sums, other.sums, strict=True)],
            squares=self.squares + sign * other.squares,
            named=self.named + sign * other.named,
        )

    def to_json(self) -> dict[str, Any]:  # Any: plain JSON
        """Return the fields as plain JSON values."""
        return {
            "bins": list(self.bins),
            "numbers": list(self.numbers),
            "sums": list(self.sums),
            "squares": self.squares,
            "named": self.named,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value. Raises KeyError, TypeError or ValueError for anything else."""
        numbers, sums = [int(n) for n in value["numbers"]], [float(s) for s in value["sums"]]
        if len(numbers) != GROUPS or len(sums) != GROUPS:
            raise ValueError("another number of groups")
        return cls(
            bins=[int(n) for n in value["bins"]],
            numbers=numbers,
            sums=sums,
            squares=float(value["squares"]),
            named=int(value["named"]),
        )


def plus(one: Mapping[str, SignalCounts], other: Mapping[str, SignalCounts], sign: int = 1) -> dict[str, SignalCounts]:
    """Return the counts of both by signal, or with `sign` -1 what is in `one` and not in `other`."""
    found = dict(one)
    for name, counts in other.items():
        if name in found and len(found[name].bins) == len(counts.bins):
            found[name] = found[name].plus(counts, sign)
        elif sign > 0:
            found[name] = counts
    return found
