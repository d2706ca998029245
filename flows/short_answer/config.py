"""Training configuration of short answers."""

from components.config import config_class
from components.writing.graders.config import GraderTrainConfig


@config_class
class AnswerTrainConfig(GraderTrainConfig):
    """Training of short answers: the kernel grader, unless `train.model.kind` names another."""
