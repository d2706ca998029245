"""Configuration of the evaluation: which split, how intervals are made, and which limits stop a run."""

from typing import Literal

from components.config import config_class
from components.evaluate.limits import LevelLimits

MIN_RESAMPLES = 20


@config_class
class EvaluateConfig(LevelLimits):
    """What changes the result of `evaluate`."""

    split: Literal["valid", "test"] = "test"
    """Which held-out students."""
    resamples: int = 200
    """Bootstrap resamples of whole students."""
    confidence: float = 0.95
    """Coverage that the intervals aim at."""
    seed: int = 0
    min_scored: int = 100
    """Fewer scored answers than this are no evaluation: the stage raises."""
    min_students: int = 10
    """A skill or a part of a curve with fewer students or scored answers reads `too_few`: so small a part's figures
    point at persons. The same number of right and of wrong answers is asked for an AUC by skill."""
    min_auc: float = 0.0
    """Least AUC; 0 is off."""
    max_log_loss: float = 0.0
    """Largest log loss, in nats; 0 is off."""
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
        if self.min_scored < 2:
            problems.append(f"min_scored is {self.min_scored}; expected at least 2: AUC needs a pair of answers.")
        if self.min_students < 2:
            problems.append(f"min_students is {self.min_students}; expected at least 2: one student is a person.")
        if not 0.0 <= self.min_auc < 1.0:
            problems.append(f"min_auc is {self.min_auc}; expected 0 (off) up to, not including, 1, e.g. 0.7.")
        if self.max_log_loss < 0.0:
            problems.append(f"max_log_loss is {self.max_log_loss}; expected 0 (off) or a positive number, e.g. 0.6.")
        if problems:
            raise ValueError(" ".join(problems))
