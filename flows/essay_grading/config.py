"""Training configuration of essay grading."""

from dataclasses import field

from components.config import config_class
from components.train.config import TrainConfig
from components.writing.kernel.config import KernelConfig


@config_class
class EssayTrainConfig(TrainConfig):
    """Training of essay grading; the kernel grader is fitted at once and uses `threads` and `seed` only."""

    model: KernelConfig = field(default_factory=KernelConfig)
    """The grader."""
