"""Configuration of the leakage stage of scored writing: what stops a run, and what counts as near the same."""

from typing import Literal

from components.config import config_class
from components.leakage.limits import LeakageLimits


@config_class
class WritingLeakageConfig(LeakageLimits):
    """What changes the result of `leakage`."""

    texts: Literal["stop", "warn"] = "warn"
    """What it leads to when more held-out responses than `max_shared_share` have a text of an earlier split."""
    max_shared_share: float = 0.01
    """Share of held-out responses whose text, or nearly it, is a response to the same prompt in an earlier split."""
    near_similarity: float = 0.8
    """Texts are nearly the same from this Jaccard similarity of their runs of words on; 1 leaves only runs alike."""
    shingle_words: int = 3
    """Words of a run."""
    min_near_words: int = 12
    """Shorter texts are compared as wholes only: two students may well write the same five words."""

    def __post_init__(self) -> None:
        problems = []
        if not 0.0 <= self.max_shared_share <= 1.0:
            problems.append(f"max_shared_share is {self.max_shared_share}; expected 0 to 1, e.g. 0.01.")
        if not 0.3 <= self.near_similarity <= 1.0:
            problems.append(f"near_similarity is {self.near_similarity}; expected 0.3 to 1, e.g. 0.8.")
        if not 1 <= self.shingle_words <= 8:
            problems.append(f"shingle_words is {self.shingle_words}; expected 1 to 8, e.g. 3.")
        if self.min_near_words < self.shingle_words:
            problems.append(
                f"min_near_words is {self.min_near_words}; expected at least shingle_words, {self.shingle_words}."
            )
        if problems:
            raise ValueError(" ".join(problems))
