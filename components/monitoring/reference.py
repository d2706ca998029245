"""`reference.json` of a release: how each signal lay over the requests that the evaluation held out.

Plain figures of many students: a bin stands for at least `MIN_STUDENTS` of them, a signal that fewer have is left out,
edges and figures are rounded. No text, no id, no single value.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FORMAT = 1
BINS = 10
MIN_STUDENTS = 10
"""Fewest students in a bin, and with a signal at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReference:
    """One signal. Bin i holds the values up to `edges[i]`, above the edge before; the last has no upper bound."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float
    sd: float
    standard_error: float
    """Of the mean, students being drawn, not requests."""
    values: int
    students: int

    @property
    def design_effect(self) -> float:
        """Variance of the mean over that of as many independent values; at least 1."""
        alone = self.sd**2 / self.values
        return max(1.0, self.standard_error**2 / alone) if alone > 0 else 1.0

    @property
    def alike(self) -> float:
        """How alike the values of one student are: their intraclass correlation, in [0, 1] (Kish 1965, ch. 5)."""
        per_student = self.values / self.students
        return min(1.0, (self.design_effect - 1.0) / (per_student - 1.0)) if per_student > 1 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """All signals of a release."""

    split: str
    """Where the requests come from."""
    requests: int
    students: int
    signals: Mapping[str, SignalReference]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {
            "format": FORMAT,
            "split": self.split,
            "requests": self.requests,
            "students": self.students,
            "signals": {name: _plain(one) for name, one in self.signals.items()},
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:  # Any: parsed JSON
        """Rebuild from `to_json`'s value. Raises KeyError, TypeError or ValueError for anything else."""
        if int(value["format"]) > FORMAT:
            raise ValueError(f"format {value['format']}, expected up to {FORMAT}")
        signals = {}
        for name, one in value["signals"].items():
            edges, counts = tuple(map(float, one["edges"])), tuple(map(int, one["counts"]))
            if len(counts) != len(edges) + 1 or list(edges) != sorted(set(edges)):
                raise ValueError("bins and edges do not fit")
            signals[str(name)] = SignalReference(
                edges=edges,
                counts=counts,
                mean=float(one["mean"]),
                sd=float(one["sd"]),
                standard_error=float(one["standard_error"]),
                values=int(one["values"]),
                students=int(one["students"]),
            )
        return cls(
            split=str(value["split"]),
            requests=int(value["requests"]),
            students=int(value["students"]),
            signals=signals,
        )


def reference_of(values: npt.NDArray[np.float64], student: npt.NDArray[np.int64]) -> SignalReference | None:
    """Return the reference of one signal, None where too few students have it.

    Args:
        values: (N,) finite.
        student: (N,) any whole numbers; equal ones are one student.
    """
    known, index = np.unique(student, return_inverse=True)
    students, count = len(known), len(values)
    if students < MIN_STUDENTS:
        return None
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    # Students are drawn, each with all its values: the linearised variance of a ratio (Cochran 1977, eq. 6.13).
    off = np.bincount(index, weights=values - mean)
    error = math.sqrt(students / (students - 1) * float((off**2).sum())) / count
    digits = 2 - math.floor(math.log10(sd)) if sd > 0 else 6
    cuts = np.quantile(values, np.arange(1, BINS) / BINS)
    edges = _merged(sorted({round(float(cut), digits) for cut in cuts}), values, index)
    bins = np.searchsorted(np.array(edges), values, side="left")
    return SignalReference(
        edges=tuple(edges),
        counts=tuple(np.bincount(bins, minlength=len(edges) + 1).tolist()),
        mean=round(mean, digits + 2),
        sd=round(sd, digits + 2),
        standard_error=round(error, digits + 3),
        values=count,
        students=students,
    )


def _merged(edges: Sequence[float], values: npt.NDArray[np.float64], index: npt.NDArray[np.int64]) -> list[float]:
    """Leave out edges until every bin holds at least MIN_STUDENTS students."""
    kept = list(edges)
    while kept:
        bins = np.searchsorted(np.array(kept), values, side="left")
        sizes = [len(np.unique(index[bins == place])) for place in range(len(kept) + 1)]
        small = min(range(len(sizes)), key=lambda place: sizes[place])
        if sizes[small] >= MIN_STUDENTS:
            break
        # With the smaller neighbour.
        left = sizes[small - 1] if small > 0 else math.inf
        right = sizes[small + 1] if small < len(kept) else math.inf
        del kept[small - 1 if left <= right else small]
    return kept


def _plain(one: SignalReference) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(one).items()}
