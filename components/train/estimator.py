"""Models that are fitted at once, without epochs: what an application gives instead of a module to train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from trainer import LightningModule


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What fitting gave."""

    module: "LightningModule"
    """Answers as a trained module does: it is kept, evaluated and exported in the same way. What was fitted is in its
    parameters and buffers, what they are built from in its hyperparameters."""
    metrics: Mapping[str, float]
    """Figures on the validation split; `best_metric` is one of them."""
    best_metric: str


@runtime_checkable
class Estimator(Protocol):
    """What `for_training` of an application's model class may return instead of a LightningModule."""

    def estimate(self, dataset: Path, say: Callable[[str], None]) -> Fitted:
        """Fit to the training split of a dataset's folder, choosing what has to be chosen on the validation split.

        Must give the same result whenever it is called on the same data: a killed training is begun anew.
        """
