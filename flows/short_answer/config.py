"""Training configuration of short answers."""

from dataclasses import field

from components.config import config_class
from components.train.config import TrainConfig
from components.writing.kernel.config import KernelConfig


@config_class
class AnswerTrainConfig(TrainConfig):
    """Training of short answers; the kernel grader is fitted at once and uses `threads` and `seed` only."""

    model: KernelConfig = field(default_factory=KernelConfig)
    """The grader."""
