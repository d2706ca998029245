"""Scored predictions as plain arrays, checked: what every measure, interval and curve is computed from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.errors import SchemaError
from components.evaluate.metrics import Floats, check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRows:
    """Held-out predictions that count, N rows of S students."""

    student: npt.NDArray[np.int64]
    """(N,) index of the student, each of 0 ... S - 1 at least once."""
    label: npt.NDArray[np.floating]
    """(N,) in [0, 1]."""
    probability: npt.NDArray[np.floating]
    """(N,) in [0, 1]."""
    weight: npt.NDArray[np.floating] | None = None
    """(N,) at least 0; None: every row counts once. A row of weight 0 takes no part, nor is it counted."""

    @property
    def students(self) -> int:
        """S."""
        return int(self.student.max()) + 1 if len(self.student) else 0

    def at(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "ScoredRows":
        """Return some rows; students keep their numbers."""
        return ScoredRows(
            student=self.student[rows],
            label=self.label[rows],
            probability=self.probability[rows],
            weight=None if self.weight is None else self.weight[rows],
        )

    def check(self) -> None:
        """Raise SchemaError unless the arrays fit together and hold numbers in their ranges."""
        sizes = {"label": len(self.label), "probability": len(self.probability), "student": len(self.student)}
        if self.weight is not None:
            sizes["weight"] = len(self.weight)
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{name} has {n}" for name, n in sizes.items())
            raise SchemaError(f"Rows do not fit together: {said}. Give one value of each for every row.")
        check_range("label", self.label)
        check_range("probability", self.probability)
        if len(self.student) and int(self.student.min()) < 0:
            raise SchemaError(
                f"{int((self.student < 0).sum())} of {len(self.student)} rows have a negative student index; expected "
                "0 up to the number of students. Number the students from 0."
            )
        if self.weight is not None:
            wrong = ~(np.isfinite(self.weight) & (self.weight >= 0.0))
            if wrong.any():
                at = int(np.argmax(wrong))
                raise SchemaError(
                    f"{int(wrong.sum())} of {len(self.weight)} weights are negative or no number, the first is "
                    f"{self.weight[at]} in row {at}. Give weights of at least 0."
                )
            if len(self.weight) and not (self.weight > 0.0).any():
                raise SchemaError(
                    f"All {len(self.weight)} weights are 0, so that no row counts. Give at least some rows a weight "
                    "above 0, or no weights at all."
                )

    def counted(self) -> "ScoredRows":
        """Return the rows of weight above 0."""
        return self if self.weight is None else self.at(self.weight > 0.0)


def weighted(values: Floats, weight: Floats | None) -> npt.NDArray[np.float64]:
    """Return (N, M) values times each row's weight (N,), if there is one."""
    plain = values.astype(np.float64)
    return plain if weight is None else np.asarray(plain * weight.astype(np.float64)[:, None], np.float64)
