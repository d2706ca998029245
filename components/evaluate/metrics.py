"""AUC, accuracy, log loss and Brier score of predicted probabilities, by scikit-learn.

Labels may be scores in [0, 1]. AUC and accuracy need two classes and take a label of at least `THRESHOLD` as right; log
loss and Brier score use the score itself, which for labels of 0 and 1 is the usual definition.
"""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from components.errors import NotEnoughDataError, SchemaError

Floats = npt.NDArray[np.floating]

THRESHOLD = 0.5
"""A label, or a probability, of at least this counts as right."""
CLIP = 1e-7
"""Distance kept from 0 and 1 in the log loss, so that one certain mistake costs 16.1 and not infinity."""
NAMES = ("auc", "accuracy", "log_loss", "brier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The four metrics of one set of predictions."""

    auc: float
    accuracy: float
    log_loss: float
    """In nats, probabilities clipped to [CLIP, 1 - CLIP]."""
    brier: float
    """Mean squared difference of probability and label."""

    def by_name(self) -> dict[str, float]:
        """Return name -> value."""
        return asdict(self)


def metrics_of(label: Floats, probability: Floats) -> Metrics:
    """Return the metrics over all rows, each row with equal weight.

    Args:
        label: (N,) in [0, 1].
        probability: (N,) in [0, 1], of a right answer.

    Raises:
        SchemaError: a value is not a number or outside [0, 1].
        NotEnoughDataError: no rows, or only one class, for which AUC is undefined.
    """
    from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, roc_auc_score

    check_range("label", label)
    check_range("probability", probability)
    right = is_right(label)
    if len(np.unique(right)) < 2:
        raise NotEnoughDataError(
            f"{len(right)} scored answers hold {len(np.unique(right))} of the two classes; AUC needs right and wrong "
            "answers. Evaluate on more students."
        )
    y, p = label.astype(np.float64), probability.astype(np.float64)
    clipped = np.clip(p, CLIP, 1.0 - CLIP)
    # A score y counts as y right answers and 1 - y wrong ones: the cross entropy, also where y is neither 0 nor 1.
    both = np.repeat([1, 0], len(y))
    return Metrics(
        auc=float(roc_auc_score(right, p)),
        accuracy=float(accuracy_score(right, p >= THRESHOLD)),
        log_loss=float(
            log_loss(
                both, np.concatenate([clipped, clipped]), sample_weight=np.concatenate([y, 1.0 - y]), labels=[0, 1]
            )
        ),
        brier=float(mean_squared_error(y, p)),
    )


def is_right(label: Floats) -> npt.NDArray[np.bool_]:
    """Return whether each label counts as right: at least `THRESHOLD`."""
    return np.asarray(label >= THRESHOLD)


def losses_of(label: Floats, probability: Floats) -> npt.NDArray[np.float64]:
    """Return (N, 3), each row's share in accuracy, log loss and Brier score: their means are the metrics."""
    y, p = label.astype(np.float64), probability.astype(np.float64)
    clipped = np.clip(p, CLIP, 1.0 - CLIP)
    hit = (is_right(label) == (p >= THRESHOLD)).astype(np.float64)
    cross_entropy = -(y * np.log(clipped) + (1.0 - y) * np.log1p(-clipped))
    return np.stack([hit, cross_entropy, (p - y) ** 2], axis=1)


def check_range(name: str, values: Floats) -> None:
    """Raise SchemaError unless all values are numbers in [0, 1]."""
    wrong = ~((values >= 0.0) & (values <= 1.0))  # also true for NaN
    if wrong.any():
        at = int(np.argmax(wrong))
        raise SchemaError(
            f"{int(wrong.sum())} of {len(values)} values of {name} are outside [0, 1], the first is {values[at]} in "
            f"row {at}. Give probabilities, not logits, and labels from 0 (wrong) to 1 (right)."
        )
