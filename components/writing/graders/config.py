"""Training configuration of every application on scored writing."""

from dataclasses import field

from components.config import config_class
from components.train.config import TrainConfig
from components.writing.kernel.config import KernelConfig
from components.writing.neural.config import NeuralConfig
from components.writing.transformer.config import TransformerConfig


@config_class
class GraderTrainConfig(TrainConfig):
    """Training of a grader; the kernel grader is fitted at once and uses `threads` and `seed` only."""

    model: KernelConfig | NeuralConfig | TransformerConfig = field(default_factory=KernelConfig)
    """The grader: `kind` says which, and with it which fields there are."""
