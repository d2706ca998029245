"""The graders of short answers, by what the configuration asks for."""

from pathlib import Path

from components.writing.kernel.estimator import KernelEstimator
from components.writing.kernel.grader import KernelGrader
from flows.short_answer.config import AnswerTrainConfig


class AnswerGrader(KernelGrader):
    """The grader that is trained, evaluated and exported."""

    @classmethod
    def for_training(cls, dataset: Path, config: AnswerTrainConfig) -> KernelEstimator:
        """Return what fits the grader to a dataset's folder."""
        return KernelEstimator(config.model)
