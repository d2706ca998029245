"""Configuration of preprocessing."""

from dataclasses import field
from typing import Literal

from components.config import config_class
from components.mitigation.config import MapGroupsConfig, ReweighConfig


@config_class
class PreprocessConfig:
    """How answers are split and sequences cut."""

    split: Literal["student", "time"] = "student"
    """`student`: a student is wholly in one split. `time`: the latest answers are the test split and those before them
    the validation split; each student's history stays known, as in use. Needs times in the logs."""
    valid_share: float = 0.1
    """Share of students (by time: of answers) held out to choose the best epoch."""
    test_share: float = 0.2
    """Share of students (by time: of answers) held out for evaluation; where test files were named, these are the test
    split instead."""
    split_seed: int = 0
    """Another seed gives another split of the same students."""
    max_len_steps: int = 200
    """Longest window; a longer history is cut into several."""
    min_item_count: int = 2
    """Items answered less often in training count as unknown."""
    min_skill_count: int = 1
    """Skills met less often in training count as unknown."""
    max_skills: int = 8
    """Most skills of one step that are kept."""
    reweigh: ReweighConfig = field(default_factory=ReweighConfig)
    """Weights of training answers by group of students; off by default."""
    map_groups: MapGroupsConfig = field(default_factory=MapGroupsConfig)
    """Groups whose answers may be mapped apart (`train.postprocess`); off by default."""

    def __post_init__(self) -> None:
        problems = []
        if not 0.0 <= self.valid_share < 1.0 or not 0.0 <= self.test_share < 1.0:
            problems.append(
                f"valid_share={self.valid_share} and test_share={self.test_share} must be in [0, 1); "
                "use e.g. 0.1 and 0.2"
            )
        if self.valid_share + self.test_share >= 1.0:
            problems.append(
                f"valid_share + test_share = {self.valid_share + self.test_share} leaves no student to train on; "
                "lower one"
            )
        if not 1 <= self.max_len_steps <= 100_000:
            problems.append(f"max_len_steps={self.max_len_steps} must be 1 to 100,000; use e.g. 200")
        problems.extend(
            f"{name}={getattr(self, name)} must be at least 1"
            for name in ("min_item_count", "min_skill_count", "max_skills")
            if getattr(self, name) < 1
        )
        if problems:
            raise ValueError("; ".join(problems) + ".")
