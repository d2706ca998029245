"""Configuration of the evaluation of scored writing: which split, how intervals are made, and the acceptance limits."""

from typing import Literal

from components.config import config_class
from components.evaluate.config import MIN_RESAMPLES
from components.evaluate.limits import LevelLimits


@config_class
class WritingEvaluateConfig(LevelLimits):
    """What changes the result of `evaluate`.

    The limits are those of Williamson, Xi & Breyer (2012), which testing programmes accept automated scores by.
    """

    split: Literal["valid", "test"] = "test"
    """Which held-out responses."""
    resamples: int = 200
    """Bootstrap resamples of whole students."""
    confidence: float = 0.95
    """Coverage that the intervals of the figures aim at."""
    seed: int = 0
    min_scored: int = 100
    """Fewer responses with a human score and the model's than this are no evaluation: the stage raises."""
    min_prompt_scored: int = 10
    """A prompt with fewer reads `too_few`, shows no figure and is no part of a mean."""
    pool_prompts: bool = False
    """Prompts with the same rubric count as one: for many questions with few answers each, of which no single one says
    anything."""
    min_qwk: float = 0.70
    """Limit on quadratic weighted kappa, mean over prompts; 0 is off."""
    max_drop_against_humans: float = 0.10
    """Limit on how much lower the model's QWK is than that of two raters, mean over double-scored prompts; 0 is off."""
    max_smd: float = 0.15
    """Limit on a prompt's |SMD|, crossed where its interval leaves 0 out as well; 0 is off."""
    on_fail: Literal["stop", "flag"] = "stop"
    """A crossed limit ends the run (`stop`), or is written down for the gate to decide on (`flag`)."""

    def __post_init__(self) -> None:
        problems = self.unknown_severities()
        if self.resamples < MIN_RESAMPLES:
            problems.append(
                f"resamples is {self.resamples}; expected at least {MIN_RESAMPLES}, as an interval's ends need some "
                "resamples beyond them. 200 is usual."
            )
        if not 0.5 <= self.confidence < 1.0:
            problems.append(f"confidence is {self.confidence}; expected 0.5 up to, not including, 1. 0.95 is usual.")
        if self.seed < 0:
            problems.append(f"seed is {self.seed}; expected 0 or more. Any whole number will do.")
        for name in ("min_scored", "min_prompt_scored"):
            if getattr(self, name) < 3:
                problems.append(
                    f"{name} is {getattr(self, name)}; expected at least 3: two points always lie on a line."
                )
        for name in ("min_qwk", "max_drop_against_humans"):
            if not 0.0 <= getattr(self, name) < 1.0:
                problems.append(f"{name} is {getattr(self, name)}; expected 0 (off) up to, not including, 1, e.g. 0.1.")
        if self.max_smd < 0.0:
            problems.append(f"max_smd is {self.max_smd}; expected 0 (off) or a positive number, e.g. 0.15.")
        if problems:
            raise ValueError(" ".join(problems))
