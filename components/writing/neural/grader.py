"""The neural grader as a module: its encoder of words, its optimizer, and double precision for what it answers."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from components.writing.codec import FIRST
from components.writing.codec.features import FEATURES
from components.writing.heads import Heads
from components.writing.neural.config import NeuralConfig
from components.writing.neural.encoder import WordEncoder
from components.writing.targets import Targets
from components.writing.trained import TrainedGrader


class NeuralGrader(TrainedGrader):
    """Gives scores from words in order and surface features; one network for all prompts and traits.

    Args:
        scales: per prompt, lowest score, highest score and step.
        traits: how many there are.
        words: rows of the table of words.
        config: fields of a NeuralConfig.
        kind: of grader, by which a checkpoint is read back.
    """

    def __init__(
        self,
        scales: Sequence[Sequence[float]],
        traits: int,
        words: int,
        config: dict[str, Any],  # Any: plain values, so that a checkpoint holds no class of ours
        kind: str = "neural",
    ) -> None:
        self.config = NeuralConfig(**config)
        super().__init__(
            scales,
            traits,
            trait_weight=self.config.trait_weight,
            stretches=self.config.stretches,
            confidence=self.config.confidence,
            regions=self.config.regions,
        )
        self.save_hyperparameters()
        self.words = words
        self.encoder = WordEncoder(
            words=words,
            width=self.config.width,
            filters=self.config.filters,
            topics=self.config.topics,
            word_dropout=self.config.word_dropout,
            vector_dropout=self.config.vector_dropout,
            dropout=self.config.dropout,
            topic_dropout=self.config.topic_dropout,
        )
        self.heads = Heads(
            prompts=len(scales),
            width=self.encoder.width,
            features=len(FEATURES),
            targets=1 + traits,
            hidden=self.config.hidden,
            dropout=self.config.dropout / 2,
            direct=self.config.topics,
        )

    @classmethod
    def for_training(cls, folder: Path, config: NeuralConfig) -> Self:
        """Return a new grader that fits a dataset's folder, and starts from a ridge regression on its features."""
        targets = Targets.of(folder, config.ridge)
        rubrics = [terms.rubric for terms in targets.codec.prompts]
        grader = cls(
            scales=[[rubric.low, rubric.high, rubric.step] for rubric in rubrics],
            traits=len(targets.codec.traits),
            words=targets.codec.word_count,
            config=asdict(config),
        )
        grader.start_from(targets)
        lexicon = targets.codec.lexicon
        rarity_W = np.log((1.0 + lexicon.documents_P.sum()) / (1.0 + lexicon.totals_V)) + 1.0  # as in the codec's terms
        grader.encoder.rarity_V[FIRST:] = torch.from_numpy(rarity_W)
        return grader

    @classmethod
    def load_from_checkpoint(cls, *args: Any, **kwargs: Any) -> Self:
        """Return the trained grader in double precision: 60 points to 1e-5 leave single precision no digit to spare."""
        return super().load_from_checkpoint(*args, **kwargs).double()

    def encode(self, tokens_BT: Tensor) -> Tensor:
        """Return the texts' vectors; see `WordEncoder`."""
        found: Tensor = self.encoder(tokens_BT)
        return found

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW (one fused kernel) under a one-cycle rate over the whole training."""
        tables = {
            id(self.encoder.words.weight),
            id(self.encoder.topics.weight),
            id(self.heads.linear_PMF),
            id(self.heads.bias_PM),
        }
        groups = [
            {"params": [p for p in self.parameters() if id(p) in tables], "weight_decay": 0.0},
            {
                "params": [p for p in self.parameters() if id(p) not in tables],
                "weight_decay": self.config.weight_decay,
            },
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.config.learning_rate,
            total_steps=max(1, int(self.trainer.estimated_stepping_batches)),
            pct_start=0.2,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def export_inputs(self, batch: int, steps: int, seed: int) -> dict[str, Tensor]:
        """Return random valid inputs of B = `batch`, T = `steps`, as the exported graph takes them."""
        return self.made_up_inputs(batch, steps, seed, self.words)
