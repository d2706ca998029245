"""What is measured in each group of rows: ratios of sums over rows, balanced accuracy, ECE and AUC.

All but AUC are functions of sums over rows, so that a resample of whole students is one weighted sum
(`components/evaluate/estimates.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.evaluate.metrics import THRESHOLD, Floats, is_right, losses_of

COLUMNS = (
    "rows", "right", "wrong", "label", "probability", "hit", "log_loss", "brier", "positive", "true_pos", "false_pos"
)  # fmt: skip
"""Columns of `row_sums`: `right` and `wrong` are the two classes, `positive` a probability of at least `THRESHOLD`."""
AUC = "auc"
BALANCED = "balanced_accuracy"
ECE = "ece"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A measure that is one sum over rows divided by another."""

    numerator: tuple[str, ...]
    """The first column, less the second where there are two."""
    denominator: str
    classes: tuple[Literal["right", "wrong"], ...] = ()
    """Classes that need enough rows."""
    meaning: str


RATIOS = {
    "accuracy": Ratio(numerator=("hit",), denominator="rows", meaning="share of right predictions"),
    "calibration": Ratio(
        numerator=("probability", "label"),
        denominator="rows",
        meaning="mean probability - mean label; above 0 the model expects too much of the group",
    ),
    "base_rate": Ratio(numerator=("label",), denominator="rows", meaning="mean label"),
    "mean_probability": Ratio(numerator=("probability",), denominator="rows", meaning="mean probability"),
    "selection_rate": Ratio(numerator=("positive",), denominator="rows", meaning="share predicted right"),
    "true_positive_rate": Ratio(
        numerator=("true_pos",),
        denominator="right",
        classes=("right",),
        meaning="share predicted right of the right answers (equal opportunity; Hardt, Price & Srebro 2016)",
    ),
    "false_positive_rate": Ratio(
        numerator=("false_pos",),
        denominator="wrong",
        classes=("wrong",),
        meaning="share predicted right of the wrong answers",
    ),
    "log_loss": Ratio(numerator=("log_loss",), denominator="rows", meaning="mean log loss, nats"),
    "brier": Ratio(numerator=("brier",), denominator="rows", meaning="mean squared difference"),
}
MEANINGS = (
    {AUC: "area under the ROC curve, ties one half"}
    | {name: r.meaning for name, r in RATIOS.items()}
    | {
        BALANCED: "mean of the shares predicted right of the right and wrong of the wrong answers; a constant has 0.5",
        ECE: "expected calibration error: |mean probability - mean label| in tenths of the probability, weighted by "
        "rows (Naeini, Cooper & Hauskrecht 2015)",
    }
)
SHARES = frozenset(
    {AUC, BALANCED, "accuracy", "base_rate", "selection_rate", "true_positive_rate", "false_positive_rate"}
)
"""Shares of rows or of pairs of rows: in [0, 1], and at an end where all rows are alike."""
CLASSES: Mapping[str, tuple[str, ...]] = (
    {AUC: ("right", "wrong")}
    | {name: r.classes for name, r in RATIOS.items()}
    | {BALANCED: ("right", "wrong"), ECE: ()}
)
"""Measure -> the classes of which it needs enough rows."""


def row_values(label: Floats, probability: Floats) -> npt.NDArray[np.float64]:
    """Return (N, len(COLUMNS)): what each row adds to each column's sum."""
    right, positive = is_right(label), probability >= THRESHOLD
    hit, log_loss, brier = losses_of(label, probability).T
    columns = (
        np.ones(len(label)), right, ~right, label, probability, hit, log_loss, brier, positive, right & positive,
        ~right & positive,
    )  # fmt: skip
    return np.stack([np.asarray(c, np.float64) for c in columns], axis=1)


def ratios_of(sums: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """Return name -> (...) ratio from sums (..., len(COLUMNS)); NaN where the denominator is 0."""
    by_name = dict(zip(COLUMNS, np.moveaxis(sums, -1, 0), strict=True))
    out = {}
    for name, ratio in RATIOS.items():
        top = by_name[ratio.numerator[0]]
        if len(ratio.numerator) == 2:
            top = top - by_name[ratio.numerator[1]]
        bottom = by_name[ratio.denominator]
        out[name] = np.full(bottom.shape, np.nan)
        np.divide(top, bottom, out=out[name], where=bottom > 0)
    return out


def measures_of(sums: npt.NDArray[np.float64], errors: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """Return name -> (...) every measure but AUC.

    Args:
        sums: (..., len(COLUMNS)) of `row_values`.
        errors: (..., BINS) of `bin_errors` of `components/evaluate/calibration.py`.
    """
    found = ratios_of(sums)
    found[BALANCED] = (found["true_positive_rate"] + 1.0 - found["false_positive_rate"]) / 2.0
    rows = sums[..., COLUMNS.index("rows")]
    found[ECE] = np.full(rows.shape, np.nan)
    np.divide(np.abs(errors).sum(axis=-1), rows, out=found[ECE], where=rows > 0)
    return found
