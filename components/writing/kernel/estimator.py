"""The kernel grader as the stage `train` takes a model that is fitted at once."""

from collections.abc import Callable
from pathlib import Path

from components.train.estimator import Fitted
from components.writing.kernel.config import KernelConfig
from components.writing.kernel.fit import fit_kernel


class KernelEstimator:
    """Fits a `KernelGrader`. Return one from `for_training` of an application's model class.

    Args:
        config: the blend of kernels and what is tried.
    """

    def __init__(self, config: KernelConfig) -> None:
        self.config = config

    def estimate(self, dataset: Path, say: Callable[[str], None]) -> Fitted:
        """Fit to the training split; ridge strengths, stretches and intervals come from the validation split.

        Raises:
            NotEnoughDataError: the dataset has no n-grams.
        """
        grader = fit_kernel(dataset, self.config, say)
        return Fitted(module=grader, metrics=grader.figures, best_metric=grader.monitor)
