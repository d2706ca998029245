"""The model class of an application on scored writing: whichever grader its configuration names."""

from pathlib import Path
from typing import Any

import torch

import trainer as tr
from components.errors import SchemaError
from components.train.estimator import Estimator
from components.writing.graders.config import GraderTrainConfig
from components.writing.kernel.estimator import KernelEstimator
from components.writing.kernel.grader import KernelGrader
from components.writing.neural.config import NeuralConfig
from components.writing.neural.grader import NeuralGrader
from components.writing.transformer.config import TransformerConfig
from components.writing.transformer.grader import TransformerGrader

KINDS: dict[str, type[tr.LightningModule]] = {
    "kernel": KernelGrader,
    "neural": NeuralGrader,
    "transformer": TransformerGrader,
}
"""`train.model.kind`, which a checkpoint's hyperparameters hold too -> class."""


class Grader:
    """What `Application.model` names; there are no objects of it, it gives those of the class that is asked for."""

    @classmethod
    def for_training(cls, dataset: Path, config: GraderTrainConfig) -> tr.LightningModule | Estimator:
        """Return what is trained on a dataset's folder, or fits itself to it."""
        if isinstance(config.model, NeuralConfig):
            return NeuralGrader.for_training(dataset, config.model)
        if isinstance(config.model, TransformerConfig):
            return TransformerGrader.for_training(dataset, config.model)
        return KernelEstimator(config.model)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Path | str, map_location: Any = "cpu") -> tr.LightningModule:
        """Return the trained grader; `map_location` as `torch.load` has it.

        Raises:
            SchemaError: it is of a kind that this version does not have.
        """
        saved = torch.load(checkpoint_path, map_location="cpu", weights_only=True, mmap=True)
        kind = saved.get("hyper_parameters", {}).get("kind", "kernel")
        if kind not in KINDS:
            raise SchemaError(
                f"The checkpoint is of a {kind!r} grader; expected one of {', '.join(KINDS)}. A newer homeroom wrote "
                "it: install that one, or train again."
            )
        return KINDS[kind].load_from_checkpoint(checkpoint_path, map_location=map_location)
