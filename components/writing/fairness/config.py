"""Configuration of fairness of scored writing: which attributes, how small a group may be, which gaps are too wide."""

from typing import Literal

from components.config import config_class
from components.evaluate.config import MIN_RESAMPLES


@config_class
class WritingFairnessConfig:
    """What changes the result of `fairness`."""

    attributes: tuple[str, ...] = ()
    """Group attributes to compare, or two with ` & ` between for their intersection; empty: all that the source has."""
    min_students: int = 10
    """A group of fewer students reads `too_few` and shows no number: so small a group's figure points at persons."""
    min_scored: int = 30
    """A group with fewer scored responses reads `too_few` and shows no number."""
    min_prompt_scored: int = 10
    """A prompt with fewer responses of a group is no part of the group's kappa and correlation."""
    max_dsm: float = 0.10
    """Largest difference of standardised means of any group, either way (Williamson et al. 2012); 0 is off."""
    max_qwk_gap: float = 0.10
    """Largest difference of quadratic weighted kappa between two groups; 0 is off."""
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
        return {"qwk": self.max_qwk_gap} if self.max_qwk_gap > 0.0 else {}

    @property
    def departure_limits(self) -> dict[str, float]:
        """Measure -> largest distance of a group from 0, which all students together have, for those that are on."""
        return {"dsm": self.max_dsm} if self.max_dsm > 0.0 else {}

    def __post_init__(self) -> None:
        problems = []
        if len(set(self.attributes)) != len(self.attributes):
            problems.append(f"attributes is {list(self.attributes)}; expected each name once. Delete the repeats.")
        for name, least in (("min_students", 2), ("min_scored", 3), ("min_prompt_scored", 3), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                problems.append(f"{name} is {value}; expected at least {least}. Raise it.")
        if self.max_dsm < 0.0:
            problems.append(f"max_dsm is {self.max_dsm}; expected 0 (off) or a positive number, e.g. 0.1.")
        if not 0.0 <= self.max_qwk_gap <= 1.0:
            problems.append(f"max_qwk_gap is {self.max_qwk_gap}; expected 0 (off) to 1, e.g. 0.1.")
        if self.resamples < MIN_RESAMPLES:
            problems.append(f"resamples is {self.resamples}; expected at least {MIN_RESAMPLES}. 200 is usual.")
        if not 0.5 <= self.confidence < 1.0:
            problems.append(f"confidence is {self.confidence}; expected 0.5 up to, not including, 1. 0.95 is usual.")
        if problems:
            raise ValueError(" ".join(problems))
