"""Configuration of simulated students: how many, how they learn, and which differences between groups are planted."""

import math

from components.config import config_class


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(f"{problem}.")


@config_class
class SimulatedGroup:
    """One group of students, and how its data differ from the others'. The defaults plant no difference."""

    name: str
    """Value of the group attribute."""
    share: float
    """Share of the students, in (0, 1]; the shares of all groups add up to 1."""
    extra_slip: float = 0.0
    """Added to `slip`: the group's students know as much, but their answers show less of it."""
    label_noise: float = 0.0
    """Probability, in [0, 0.5], that an answer of the group is recorded the wrong way round."""
    answers_factor: float = 1.0
    """Multiplies the number of answers, in (0, 1]: fewer data for the group."""
    ability_shift: float = 0.0
    """Added to ability, in logits: a difference in what the group's students know at the start."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(self.name != "", "name is empty; give the group one")
        _check(0 < self.share <= 1, f"share is {self.share}; expected above 0 and at most 1")
        _check(-1 < self.extra_slip < 1, f"extra_slip is {self.extra_slip}; expected between -1 and 1")
        _check(0 <= self.label_noise <= 0.5, f"label_noise is {self.label_noise}; expected 0 to 0.5")
        _check(0 < self.answers_factor <= 1, f"answers_factor is {self.answers_factor}; expected above 0 and at most 1")
        _check(math.isfinite(self.ability_shift), f"ability_shift is {self.ability_shift}; expected a finite number")


@config_class
class SimulateConfig:
    """How student logs are simulated. The same configuration gives the same bytes everywhere."""

    students: int = 500
    """Number of students, at least 1."""
    items: int = 200
    """Number of problems, at least as many as skills."""
    skills: int = 20
    """Number of skills, at least 1. A problem has one to three."""
    answers_min: int = 20
    """Fewest answers of a student, at least 1, before a group's `answers_factor`."""
    answers_max: int = 100
    """Most answers of a student; numbers between are equally likely."""
    guess: float = 0.15
    """Probability of a right answer without mastery, in [0, 1)."""
    slip: float = 0.08
    """Probability of a wrong answer with mastery, in [0, 1); guess + slip stays below 1."""
    ability_sd: float = 1.0
    """Standard deviation of the students' abilities, in logits."""
    difficulty_sd: float = 1.2
    """Standard deviation of the problems' difficulties, in logits."""
    learning: float = 0.35
    """What the first practice adds to a skill, in logits; each further one adds the same share of what is left."""
    learning_ceiling: float = 3.0
    """Most that practice can add to a skill, in logits."""
    forgetting_per_day: float = 0.02
    """Share of what was learned that is lost in a day without practice, in [0, 1)."""
    stay_on_skill: float = 0.8
    """Probability, in [0, 1], that the next problem is on the same main skill."""
    group_attribute: str = "group"
    """Name of the attribute; the column is `group_<attribute>`."""
    groups: tuple[SimulatedGroup, ...] = (
        SimulatedGroup(name="a", share=0.6),
        SimulatedGroup(name="b", share=0.4),
    )
    """Groups of students. Empty: no attribute."""
    seed: int = 0
    """Seed of all random numbers, at least 0."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("students", "skills", "answers_min"):
            _check(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; expected at least 1")
        _check(
            self.items >= self.skills,
            f"items is {self.items} for {self.skills} skills; expected at least one per skill",
        )
        _check(
            self.answers_max >= self.answers_min,
            f"answers_max is {self.answers_max}, below answers_min {self.answers_min}; swap or raise it",
        )
        for name in ("guess", "slip", "forgetting_per_day"):
            _check(0 <= getattr(self, name) < 1, f"{name} is {getattr(self, name)}; expected from 0 to below 1")
        _check(0 <= self.stay_on_skill <= 1, f"stay_on_skill is {self.stay_on_skill}; expected 0 to 1")
        for name in ("ability_sd", "difficulty_sd", "learning", "learning_ceiling"):
            value = getattr(self, name)
            _check(math.isfinite(value) and value >= 0, f"{name} is {value}; expected a finite number of at least 0")
        _check(self.learning <= self.learning_ceiling, f"learning is {self.learning}, above learning_ceiling; lower it")
        _check(self.seed >= 0, f"seed is {self.seed}; expected at least 0")
        _check(self.group_attribute != "", "group_attribute is empty; give the attribute a name")
        names = [g.name for g in self.groups]
        _check(len(set(names)) == len(names), f"groups repeats a name in {names}; name each once")
        total = math.fsum(g.share for g in self.groups)
        _check(
            not self.groups or math.isclose(total, 1, abs_tol=1e-9), f"the groups' shares add up to {total}; expected 1"
        )
        for group in self.groups:
            slip = self.slip + group.extra_slip
            _check(
                slip >= 0 and self.guess + slip < 1,
                f"group {group.name!r} has slip {slip} and guess {self.guess}; expected a sum below 1",
            )
        _check(self.guess + self.slip < 1, f"guess + slip is {self.guess + self.slip}; expected below 1")
