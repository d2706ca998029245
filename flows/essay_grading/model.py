"""The graders of essay grading, by what the configuration asks for."""

from pathlib import Path

from components.writing.kernel.estimator import KernelEstimator
from components.writing.kernel.grader import KernelGrader
from flows.essay_grading.config import EssayTrainConfig


class EssayGrader(KernelGrader):
    """The grader that is trained, evaluated and exported."""

    @classmethod
    def for_training(cls, dataset: Path, config: EssayTrainConfig) -> KernelEstimator:
        """Return what fits the grader to a dataset's folder."""
        return KernelEstimator(config.model)
