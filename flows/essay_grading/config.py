"""Training configuration of essay grading."""

from components.config import config_class
from components.writing.graders.config import GraderTrainConfig


@config_class
class EssayTrainConfig(GraderTrainConfig):
    """Training of essay grading: the kernel grader, unless `train.model.kind` names another."""
