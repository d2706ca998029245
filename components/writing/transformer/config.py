"""Configuration of fine-tuning a transformer."""

from typing import Literal

from components.config import config_class
from components.writing.outputs import output_problems


@config_class
class TransformerConfig:
    """Which encoder, and how it is fine-tuned; chosen by `kind = "transformer"`, which has no default.

    `train.precision = "bf16-mixed"` and `train.accumulate_grad_batches` save memory, as does `recompute`.
    """

    kind: Literal["transformer"]
    folder: str = ""
    """Of the encoder: `config.json`, `model.safetensors` and `tokenizer.json`, which `preprocess.tokenizer` reads from
    the same folder. Another encoder needs a folder of another name: stages go by names."""
    hidden: int = 128
    """Size of the layer that joins the text, its features and its prompt."""
    dropout: float = 0.1
    """Share of the numbers of a text's vector that are zeroed in training; inside, the encoder's own."""
    ridge: float = 10.0
    """Of the ridge regression on features that training starts from."""
    trait_weight: float = 0.3
    """Of the error of traits beside that of the score."""
    batch_texts: int = 8
    """Texts in a batch, of all processes together."""
    learning_rate: float = 3e-5
    """Peak, of the encoder's last layer."""
    layer_decay: float = 0.9
    """The rate of each layer as a share of the next one's: early layers change least. 1 for the same everywhere."""
    head_learning_rate: float = 1e-3
    """Peak, of what is new."""
    warmup_share: float = 0.1
    """Share of the steps in which rates rise; then they fall in a line to 0."""
    weight_decay: float = 1e-2
    """Of AdamW; not of biases, norms and the linear part."""
    recompute: bool = False
    """Keep only the inputs of the encoder's layers, and compute them again in the backward pass: less memory, a third
    more time."""
    stretches: tuple[float, ...] = (0.9, 1.0, 1.1, 1.2, 1.3, 1.45)
    """Predictions keep too near to the mean for rounding to a rubric; these factors are tried."""
    confidence: float = 0.9
    """Share of human scores that the interval holds."""
    regions: int = 3
    """Into so many regions of the predicted score intervals differ, where validation responses suffice."""

    def __post_init__(self) -> None:
        problems = [
            f"{name}={getattr(self, name)} must be at least 1"
            for name in ("hidden", "batch_texts")
            if getattr(self, name) < 1
        ]
        problems += [
            f"{name}={getattr(self, name)} must be in [0, 1)"
            for name in ("dropout", "warmup_share")
            if not 0.0 <= getattr(self, name) < 1.0
        ]
        if not 0.0 < self.layer_decay <= 1.0:
            problems.append(f"layer_decay={self.layer_decay} must be above 0 and at most 1")
        if min(self.ridge, self.learning_rate, self.head_learning_rate) <= 0:
            problems.append(
                f"ridge={self.ridge}, learning_rate={self.learning_rate} and "
                f"head_learning_rate={self.head_learning_rate} must be above 0"
            )
        if min(self.weight_decay, self.trait_weight) < 0:
            problems.append(f"weight_decay={self.weight_decay} and trait_weight={self.trait_weight} must be 0 or more")
        problems += output_problems(self.stretches, self.confidence, self.regions)
        if problems:
            raise ValueError("; ".join(problems) + ".")
