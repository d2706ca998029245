"""Configuration of the neural grader."""

from typing import Literal

from components.config import config_class
from components.writing.outputs import output_problems


@config_class
class NeuralConfig:
    """Sizes, regularisation and rates; chosen by `kind = "neural"`, which has no default."""

    kind: Literal["neural"]
    width: int = 32
    """Size of a word's vector."""
    filters: int = 48
    """How many patterns of three words there are."""
    topics: int = 16
    """Size of the vector that sums up which words a text has, whatever their order."""
    hidden: int = 64
    """Size of the layer that joins the text, its features and its prompt."""
    word_dropout: float = 0.1
    """Share of the words that are replaced by `unknown` in training."""
    vector_dropout: float = 0.2
    """Share of the numbers of words' vectors that are zeroed in training."""
    dropout: float = 0.4
    """Share of the numbers of a text's pooled patterns that are zeroed in training."""
    topic_dropout: float = 0.5
    """Likewise of its topics."""
    ridge: float = 10.0
    """Of the ridge regression on features that training starts from."""
    trait_weight: float = 0.3
    """Of the error of traits beside that of the score."""
    batch_texts: int = 32
    """Texts in a batch, of all processes together."""
    learning_rate: float = 2e-3
    """Peak of the one-cycle schedule."""
    weight_decay: float = 1e-2
    """Of AdamW; not of words' vectors, nor of the linear part."""
    stretches: tuple[float, ...] = (0.9, 1.0, 1.1, 1.2, 1.3, 1.45)
    """Predictions keep too near to the mean for rounding to a rubric; these factors are tried."""
    confidence: float = 0.9
    """Share of human scores that the interval holds."""
    regions: int = 3
    """Into so many regions of the predicted score intervals differ, where validation responses suffice."""

    def __post_init__(self) -> None:
        problems = [
            f"{name}={getattr(self, name)} must be at least 1"
            for name in ("width", "filters", "topics", "hidden", "batch_texts")
            if getattr(self, name) < 1
        ]
        problems += [
            f"{name}={getattr(self, name)} must be in [0, 1)"
            for name in ("word_dropout", "vector_dropout", "dropout", "topic_dropout")
            if not 0.0 <= getattr(self, name) < 1.0
        ]
        if self.ridge <= 0 or self.learning_rate <= 0 or self.weight_decay < 0 or self.trait_weight < 0:
            problems.append(
                f"ridge={self.ridge} and learning_rate={self.learning_rate} must be above 0, "
                f"weight_decay={self.weight_decay} and trait_weight={self.trait_weight} 0 or more"
            )
        problems += output_problems(self.stretches, self.confidence, self.regions)
        if problems:
            raise ValueError("; ".join(problems) + ".")
