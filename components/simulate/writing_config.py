"""Configuration of simulated writing: how many students and prompts, how they write, and how they are scored."""

import math
from typing import Literal

from components.config import config_class
from components.simulate.topics import TOPICS


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(f"{problem}.")


@config_class
class SimulatedWriters:
    """One group of students, and how its data differ from the others'. The defaults plant no difference."""

    name: str
    """Value of the group attribute."""
    share: float
    """Share of the students, in (0, 1]; the shares of all groups add up to 1."""
    severity: float = 0.0
    """Taken off by both raters, in standard deviations of quality: the group is scored worse for the same writing."""
    ability_shift: float = 0.0
    """Added to ability, in standard deviations: the group writes better or worse."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(self.name != "", "name is empty; give the group one")
        _check(0 < self.share <= 1, f"share is {self.share}; expected above 0 and at most 1")


@config_class
class SimulateWritingConfig:
    """How scored writing is simulated. The same configuration gives the same bytes everywhere."""

    students: int = 200
    """Number of students, at least 1; each answers every prompt once."""
    prompts: int = 3
    """Number of prompts, each with its own topic and rubric."""
    kind: Literal["essays", "short_answers"] = "essays"
    """`short_answers`: a sentence or two that say some of what a reference answer says, all on one rubric."""
    sentences_min: int = 3
    """Sentences of the weakest essays, at least 1."""
    sentences_max: int = 20
    """Sentences of the strongest."""
    ability_sd: float = 1.0
    """Standard deviation of the students' abilities."""
    response_sd: float = 0.4
    """Standard deviation of what a response's quality differs from its writer's ability."""
    rater_sd: float = 0.35
    """Standard deviation of each rater's error, on the scale of quality."""
    group_attribute: str = "group"
    """Name of the attribute; the column is `group_<attribute>`."""
    groups: tuple[SimulatedWriters, ...] = (
        SimulatedWriters(name="a", share=0.6),
        SimulatedWriters(name="b", share=0.4),
    )
    """Groups of students. Empty: no attribute."""
    seed: int = 0
    """Seed of all random numbers, at least 0."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(self.students >= 1, f"students is {self.students}; expected at least 1")
        _check(1 <= self.prompts <= len(TOPICS), f"prompts is {self.prompts}; expected 1 to {len(TOPICS)}")
        _check(self.sentences_min >= 1, f"sentences_min is {self.sentences_min}; expected at least 1")
        _check(
            self.sentences_max >= self.sentences_min,
            f"sentences_max is {self.sentences_max}, below sentences_min {self.sentences_min}; swap or raise it",
        )
        for name in ("ability_sd", "response_sd", "rater_sd"):
            value = getattr(self, name)
            _check(value >= 0, f"{name} is {value}; expected at least 0")
        _check(self.seed >= 0, f"seed is {self.seed}; expected at least 0")
        _check(self.group_attribute != "", "group_attribute is empty; give the attribute a name")
        names = [group.name for group in self.groups]
        _check(len(set(names)) == len(names), f"groups repeats a name in {names}; name each once")
        total = math.fsum(group.share for group in self.groups)
        _check(
            not self.groups or math.isclose(total, 1, abs_tol=1e-9), f"the groups' shares add up to {total}; expected 1"
        )
