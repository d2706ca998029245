"""Configuration of the kernel grader."""

from typing import Literal

from components.config import config_class


@config_class
class KernelConfig:
    """The blend of kernels, and what is tried for each prompt."""

    kind: Literal["kernel"] = "kernel"
    word_weight: float = 0.35
    """Of the likeness in words and pairs of words."""
    character_weight: float = 0.35
    """Of the likeness in runs of three and four characters."""
    feature_weight: float = 0.3
    """Of the likeness in surface features (a Gaussian kernel)."""
    gamma: float = 0.25
    """Of that Gaussian, over the number of features that vary: exp(-gamma d^2 / F)."""
    ridges: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
    """Ridge strengths that are tried on the validation split."""
    stretches: tuple[float, ...] = (1.0, 1.1, 1.2, 1.3, 1.45)
    """Ridge predictions keep too near to the mean for rounding to a rubric; these factors are tried."""
    max_support: int = 4_000
    """Of more training responses to a prompt, so many, evenly chosen, are used: cost grows with their cube."""
    pool_share: float = 0.5
    """Where preprocessing pools prompts: how much of the likeness in n-grams counts between responses to any prompts;
    the rest counts between responses to the same prompt."""
    max_pooled: int = 10_000
    """`max_support` of a pool, all prompts together."""
    landmarks: int = 500
    """Of a pool, so many training responses, evenly chosen, stand for all in the Gaussian of features (Nystroem)."""
    decision: Literal["score", "label"] = "score"
    """`score`: the score that can be given nearest to the prediction. `label`: the likeliest one, whatever lies between
    others; for grades that are names (correct, contradictory, incorrect) more than points."""
    confidence: float = 0.9
    """Share of human scores that the interval holds."""
    regions: int = 3
    """Into so many regions of the predicted score intervals differ, where validation responses suffice."""

    def __post_init__(self) -> None:
        problems = []
        weights = (self.word_weight, self.character_weight, self.feature_weight)
        if min(weights) < 0 or sum(weights) <= 0:
            problems.append(
                f"word_weight, character_weight and feature_weight are {weights}; use at least 0, one above"
            )
        if self.gamma <= 0:
            problems.append(f"gamma={self.gamma} must be above 0; use e.g. 0.25")
        if not self.ridges or min(self.ridges) <= 0:
            problems.append(f"ridges={self.ridges} must be one number above 0 or more")
        if not self.stretches or min(self.stretches) <= 0:
            problems.append(f"stretches={self.stretches} must be one number above 0 or more")
        if not 0.0 < self.confidence < 1.0:
            problems.append(f"confidence={self.confidence} must be between 0 and 1; use e.g. 0.9")
        if not 0.0 <= self.pool_share <= 1.0:
            problems.append(f"pool_share={self.pool_share} must be 0 to 1; use e.g. 0.5")
        if self.max_pooled < 2 or self.landmarks < 1:
            problems.append(f"max_pooled={self.max_pooled} must be at least 2, landmarks={self.landmarks} at least 1")
        if self.max_support < 2 or self.regions < 1:
            problems.append(f"max_support={self.max_support} must be at least 2, regions={self.regions} at least 1")
        if problems:
            raise ValueError("; ".join(problems) + ".")
