"""Configuration of the fairness stage: which attributes, how small a group may be, and which gaps are too wide."""

from typing import Literal

from components.config import config_class
from components.evaluate.config import MIN_RESAMPLES


@config_class
class FairnessConfig:
    """What changes the result of `fairness`."""

    attributes: tuple[str, ...] = ()
    """Group attributes to compare, or two with ` & ` between for their intersection; empty: all that the logs have."""
    min_students: int = 10
    """A group of fewer students reads `too_few` and shows no number: so small a group's rate points at persons."""
    min_scored: int = 100
    """A group with fewer scored answers reads `too_few` and shows no number."""
    min_rarer_class: int = 20
    """With fewer right or fewer wrong answers than this, a group's AUC reads `too_few`: many rows do not help it."""
    max_auc_gap: float = 0.05
    """Largest difference of AUC between two groups; 0 is off."""
    max_accuracy_gap: float = 0.0
    """Largest difference of accuracy; 0 is off. Off by default: accuracy follows a group's share of right answers."""
    max_calibration_gap: float = 0.05
    """Largest difference of (mean probability - mean outcome), signs kept; 0 is off."""
    resamples: int = 200
    """Bootstrap resamples of whole students."""
    confidence: float = 0.95
    """Coverage that the intervals aim at."""
    seed: int = 0
    on_fail: Literal["flag", "stop"] = "flag"
    """A crossed limit is written into the report (`flag`), or ends the run as well (`stop`)."""

    @property
    def gap_limits(self) -> dict[str, float]:
        """Measure -> largest difference between two groups, for those that are on."""
        limits = {
            "auc": self.max_auc_gap,
            "accuracy": self.max_accuracy_gap,
            "calibration": self.max_calibration_gap,
        }
        return {measure: limit for measure, limit in limits.items() if limit > 0.0}

    @property
    def departure_limits(self) -> dict[str, float]:
        """Measure -> largest distance of a group from 0: none here."""
        return {}

    def __post_init__(self) -> None:
        problems = []
        if len(set(self.attributes)) != len(self.attributes):
            problems.append(f"attributes is {list(self.attributes)}; expected each name once. Delete the repeats.")
        for name, least in (("min_students", 2), ("min_scored", 2), ("min_rarer_class", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                problems.append(f"{name} is {value}; expected at least {least}. Raise it.")
        for name in ("max_auc_gap", "max_accuracy_gap", "max_calibration_gap"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                problems.append(f"{name} is {value}; expected 0 (off) to 1, e.g. 0.05.")
        if self.resamples < MIN_RESAMPLES:
            problems.append(f"resamples is {self.resamples}; expected at least {MIN_RESAMPLES}. 200 is usual.")
        if not 0.5 <= self.confidence < 1.0:
            problems.append(f"confidence is {self.confidence}; expected 0.5 up to, not including, 1. 0.95 is usual.")
        if problems:
            raise ValueError(" ".join(problems))
