"""Whether a model's predictions are of any use: equal rates in all groups are no merit of one that says nothing."""

import numpy as np

from components.evaluate.estimates import Estimate
from components.evaluate.metrics import THRESHOLD, Floats
from components.gate.useless import AT_THRESHOLD

NEARLY = 0.005
"""A balanced accuracy this near to one half rounds to it."""


def useless_of(probability: Floats, auc: Estimate, balanced: Estimate) -> str | None:
    """Return a sentence that names a useless model as such, None where it is of use.

    Useless is a model that gives one probability to all, one that ranks no better than chance (the AUC's interval
    reaches 0.5), and one that is, at the threshold, a constant: it puts all into one class, or its balanced accuracy is
    0.5. Demographic parity and equalized odds are then met, and mean nothing.

    Args:
        probability: (N,) at least one.
        auc: over all rows.
        balanced: balanced accuracy over all rows.
    """
    end = "Equal rates in all groups are what any such model has; they do not make it fair."
    if float(np.ptp(probability)) == 0.0:
        return f"The model is useless: it gives every answer the same probability. {end}"
    if auc.value is not None and auc.low is not None and auc.low <= 0.5 and auc.value < 1.0:
        return (
            f"The model is useless: it ranks answers no better than a coin (AUC {auc.value:.3f}, interval "
            f"{auc.low:.3f} to {auc.high:.3f}). {end}"
        )
    selected = probability >= THRESHOLD
    if selected.all() or not selected.any():
        side = "at least" if selected.all() else "below"
        return f"{AT_THRESHOLD} {THRESHOLD}: all probabilities are {side} it (balanced accuracy 0.500). {end}"
    if (
        balanced.value is not None
        and balanced.value < 1.0  # of few students even a perfect one's interval is wide
        and balanced.low is not None
        and (balanced.low <= 0.5 or balanced.value < 0.5 + NEARLY)
    ):
        return (
            f"{AT_THRESHOLD} {THRESHOLD}: balanced accuracy {balanced.value:.3f} (interval "
            f"{balanced.low:.3f} to {balanced.high:.3f}), where a constant has 0.500. {end}"
        )
    return None
