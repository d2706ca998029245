"""Training configuration of knowledge tracing."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from components.config import config_class
from components.mitigation.config import PostprocessConfig
from components.train.config import TrainConfig


@config_class
class DktConfig:
    """Sizes and regularisation of the DKT network."""

    network: Literal["dkt"] = "dkt"
    width: int = 128
    """Size of the embedding of an answered step."""
    hidden: int = 128
    """Size of the LSTM's state."""
    dropout: float = 0.4
    """Share of the LSTM's outputs that are zeroed in training."""
    difficulty_l2: float = 1e-3
    """Weight of the mean squared item difficulty in the loss."""
    difficulty_speed: float = 1.0
    """Learning rate of the item difficulties as a multiple of the others': each item is seen rarely."""
    unknown_share: float = 0.01
    """Share of items and skills replaced by `unknown` in training, so that new ones get a learned answer."""

    def __post_init__(self) -> None:
        _raise(_problems(self, sizes=("width", "hidden")))


@config_class
class AttentionConfig:
    """Sizes and regularisation of the attention network; chosen by `network = "attention"`, which has no default."""

    network: Literal["attention"]
    width: int = 128
    """Size of the embedding of a step and of the state; a multiple of `heads`."""
    hidden: int = 256
    """Size of the feed-forward layers between."""
    heads: int = 8
    """Attention heads per block; each learns its own decay."""
    blocks: int = 1
    """Attention blocks: the last one asks about the step, those before it read the answers among themselves."""
    dropout: float = 0.2
    """Share of each block's outputs that are zeroed in training."""
    difficulty_l2: float = 1e-3
    """Weight of the mean squared item difficulty in the loss."""
    difficulty_speed: float = 7.0
    """Learning rate of the item difficulties as a multiple of the others': each item is seen rarely."""
    unknown_share: float = 0.01
    """Share of items and skills replaced by `unknown` in training, so that new ones get a learned answer."""

    def __post_init__(self) -> None:
        problems = _problems(self, sizes=("width", "hidden", "heads", "blocks"))
        if not problems and self.width % self.heads:
            problems.append(f"width={self.width} must be a multiple of heads={self.heads}, e.g. {self.heads * 32}")
        _raise(problems)


@config_class
class KnowledgeTracingTrainConfig(TrainConfig):
    """Training of knowledge tracing."""

    model: DktConfig | AttentionConfig = field(default_factory=DktConfig)
    """The network: `network` says which, and with it which fields there are."""
    postprocess: PostprocessConfig = field(default_factory=PostprocessConfig)
    """What is done to the trained network's answers."""
    batch_steps: int = 1_600
    """Largest batch in steps, padding counted."""
    learning_rate: float = 1e-2
    """Peak of the one-cycle schedule."""
    weight_decay: float = 1e-4
    """Of AdamW."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_steps < 1 or self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError(
                f"batch_steps={self.batch_steps} must be at least 1, learning_rate={self.learning_rate} above 0, "
                f"weight_decay={self.weight_decay} 0 or more."
            )


def network_config(values: Mapping[str, Any]) -> DktConfig | AttentionConfig:  # Any: plain values of either class
    """Return the configuration whose plain values these are; without a `network`, of DKT.

    Raises:
        ValueError: there is no such network.
    """
    name = values.get("network", "dkt")
    if name == "attention":
        return AttentionConfig(**values)
    if name == "dkt":
        return DktConfig(**values)
    raise ValueError(f"network={name!r} is none of 'dkt' and 'attention'; the checkpoint is of a newer version.")


def _problems(config: DktConfig | AttentionConfig, sizes: tuple[str, ...]) -> list[str]:
    problems = [f"{n}={getattr(config, n)} must be at least 1" for n in sizes if getattr(config, n) < 1]
    problems += [
        f"{n}={getattr(config, n)} must be in [0, 1)"
        for n in ("dropout", "unknown_share")
        if not 0.0 <= getattr(config, n) < 1.0
    ]
    if config.difficulty_l2 < 0:
        problems.append(f"difficulty_l2={config.difficulty_l2} must be 0 or more")
    if config.difficulty_speed <= 0:
        problems.append(f"difficulty_speed={config.difficulty_speed} must be above 0")
    return problems


def _raise(problems: list[str]) -> None:
    if problems:
        raise ValueError("; ".join(problems) + ".")
