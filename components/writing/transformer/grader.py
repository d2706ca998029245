"""A pre-trained encoder with heads for scores and traits, as a module that is fine-tuned.

Shapes: B texts, T tokens at most, W width of the encoder.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from components.errors import ConfigError
from components.writing.codec.features import FEATURES
from components.writing.heads import Heads
from components.writing.targets import Targets
from components.writing.trained import TrainedGrader
from components.writing.transformer.config import TransformerConfig
from components.writing.transformer.encoder import build_encoder, layers_of, most_tokens, rates, read_encoder
from trainer.utilities.activation_checkpointing import checkpoint_activations


class TransformerGrader(TrainedGrader):
    """Gives scores from subwords, by a pre-trained encoder, and surface features.

    Args:
        scales: per prompt, lowest score, highest score and step.
        traits: how many there are.
        encoder: configuration of the encoder, as its `config.json` has it.
        config: fields of a TransformerConfig.
        kind: of grader, by which a checkpoint is read back.
    """

    def __init__(
        self,
        scales: Sequence[Sequence[float]],
        traits: int,
        encoder: dict[str, Any],  # Any: plain values, so that a checkpoint needs no folder and holds no class of others
        config: dict[str, Any],
        kind: str = "transformer",
    ) -> None:
        self.config = TransformerConfig(**config)
        super().__init__(
            scales,
            traits,
            trait_weight=self.config.trait_weight,
            stretches=self.config.stretches,
            confidence=self.config.confidence,
            regions=self.config.regions,
        )
        self.save_hyperparameters()
        self.max_steps = most_tokens(encoder)
        self.vocabulary = int(encoder["vocab_size"])
        self.padding = int(encoder.get("pad_token_id") or 0)
        self.encoder = build_encoder(encoder)
        width = int(encoder.get("hidden_size") or encoder["dim"])
        self.dropout = nn.Dropout(self.config.dropout)
        self.heads = Heads(
            prompts=len(scales),
            width=width,
            features=len(FEATURES),
            targets=1 + traits,
            hidden=self.config.hidden,
            dropout=self.config.dropout,
        )

    @classmethod
    def for_training(cls, folder: Path, config: TransformerConfig) -> Self:
        """Return the encoder of `config.folder` with new heads for a dataset's folder.

        Raises:
            ConfigError: the encoder cannot be read, or the dataset was not made for it.
        """
        settings, weights = read_encoder(config.folder)
        targets = Targets.of(folder, config.ridge)
        _check(targets, settings, config.folder)
        rubrics = [terms.rubric for terms in targets.codec.prompts]
        grader = cls(
            scales=[[rubric.low, rubric.high, rubric.step] for rubric in rubrics],
            traits=len(targets.codec.traits),
            encoder=settings,
            config=asdict(config),
        )
        grader.encoder.load_state_dict(weights)
        grader.start_from(targets)
        if config.recompute:
            blocks = {id(block) for block in layers_of(grader.encoder)}
            checkpoint_activations(grader, lambda part: id(part) in blocks)
        return grader

    def encode(self, tokens_BT: Tensor) -> Tensor:
        """Return the mean (B, W) of the encoder's vectors over the tokens."""
        is_token_BT = tokens_BT > 0
        ids_BT = torch.where(is_token_BT, tokens_BT - 1, self.padding)
        found_BTW = self.encoder(input_ids=ids_BT, attention_mask=is_token_BT.long()).last_hidden_state
        is_token_BT1 = is_token_BT.unsqueeze(-1)
        sum_BW = found_BTW.masked_fill(~is_token_BT1, 0.0).sum(1)
        found: Tensor = self.dropout(sum_BW / is_token_BT1.sum(1).clamp(min=1))
        return found

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW, each layer at its own rate; rates rise in a line, then fall in a line to 0."""
        config = self.config
        of_encoder = rates(self.encoder, config.learning_rate, config.layer_decay)
        plain = {id(self.heads.linear_PMF), id(self.heads.bias_PM)}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            rate = of_encoder.get(name.removeprefix("encoder."), config.head_learning_rate)
            decay = 0.0 if parameter.ndim < 2 or id(parameter) in plain else config.weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
        optimizer = torch.optim.AdamW(
            [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()],
            fused=True,
        )
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        rising = max(1, round(config.warmup_share * steps))

        def share(step: int) -> float:
            return min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def export_inputs(self, batch: int, steps: int, seed: int) -> dict[str, Tensor]:
        """Return random valid inputs of B = `batch`, T = `steps`, as the exported graph takes them."""
        return self.made_up_inputs(batch, steps, seed, self.vocabulary + 1)


def _check(targets: Targets, settings: dict[str, Any], folder: str) -> None:
    """Make sure that the dataset's tokens are those of the encoder, and not too many."""
    subwords, positions = targets.codec.subwords, most_tokens(settings)
    if subwords is None:
        raise ConfigError(
            "The dataset has no subwords, which train.model.kind='transformer' reads. Set preprocess.inputs='subwords' "
            f"and preprocess.tokenizer={folder!r}."
        )
    problems = []
    if subwords.size > int(settings["vocab_size"]):
        problems.append(f"its tokenizer has {subwords.size} numbers and the encoder {settings['vocab_size']}")
    if targets.codec.max_tokens > positions:
        problems.append(
            f"preprocess.max_tokens is {targets.codec.max_tokens} and the encoder has {positions} positions"
        )
    if problems:
        raise ConfigError(
            f"The dataset does not fit the encoder in train.model.folder = {folder!r}: {'; '.join(problems)}. Name the "
            "same folder as preprocess.tokenizer, and lower preprocess.max_tokens where a text is too long."
        )
