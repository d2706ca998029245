"""Configuration of the leakage stage of student logs: what stops a run, and what counts as a copy."""

from typing import Literal

from components.config import config_class
from components.leakage.limits import LeakageLimits


@config_class
class LeakageConfig(LeakageLimits):
    """What changes the result of `leakage`."""

    time: Literal["stop", "warn"] = "stop"
    """What answers out of their order in time lead to, and, where the split is by time, answers on the wrong side."""
    copies: Literal["stop", "warn"] = "warn"
    """What it leads to when more held-out students than `max_copied_share` have the answers of another."""
    max_copied_share: float = 0.0
    """Share of held-out students whose whole sequence another student of an earlier split has too."""
    min_copied_bits: float = 40.0
    """Sequences count as copied when two students with as many right answers would have them in the same places by
    chance with a probability of at most 2 to the minus so many: short ones, and those all right, say nothing."""
    protocol: Literal["stop", "warn"] = "warn"
    """What a protocol leads to under which a row shows the next one's answer, or nobody can tell."""

    def __post_init__(self) -> None:
        problems = []
        if not 0.0 <= self.max_copied_share <= 1.0:
            problems.append(f"max_copied_share is {self.max_copied_share}; expected 0 to 1, e.g. 0.01.")
        if not 1.0 <= self.min_copied_bits <= 1_000.0:
            problems.append(f"min_copied_bits is {self.min_copied_bits}; expected 1 to 1000, e.g. 40.")
        if problems:
            raise ValueError(" ".join(problems))
