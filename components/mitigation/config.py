"""Configuration of mitigation: weights of training rows by group, and what is done to a trained model's answers."""

from typing import Literal

from components.config import config_class


@config_class
class ReweighConfig:
    """How training rows are weighed by group; off unless `by` names an attribute."""

    by: str = ""
    """A group attribute of the logs. It is needed for training alone, never by a service."""
    method: Literal["group_and_label", "group"] = "group_and_label"
    """`group_and_label`: P(group) P(label) / P(group, label), so that the label no longer hangs on the group (Kamiran &
    Calders 2012). `group`: all groups count the same together, however large."""
    max_weight: float = 10.0
    """No row counts for more than so many: a cell of three rows must not decide what is learned."""

    def __post_init__(self) -> None:
        if not 1.0 < self.max_weight <= 1_000.0:
            raise ValueError(f"max_weight is {self.max_weight}; expected above 1, up to 1000, e.g. 10.")


@config_class
class MapGroupsConfig:
    """Which groups of students may have a map of the answers of their own; none unless `by` names an attribute."""

    by: str = ""
    """A group attribute of the logs, which the service then asks for with each request."""
    min_students: int = 30
    """Groups with fewer students in the validation split take the map for everybody, and are not named."""

    def __post_init__(self) -> None:
        if self.min_students < 10:
            raise ValueError(
                f"min_students is {self.min_students}; expected at least 10, as a map of fewer is one of persons. "
                "30 is usual."
            )


@config_class
class PostprocessConfig:
    """What is done to a trained model's answers before anybody sees them; nothing unless `kind` says so."""

    kind: Literal["none", "affine", "affine_by_group"] = "none"
    """`affine`: slope times the logit plus an intercept, one pair for everybody, fitted on the validation split.
    `affine_by_group`: a pair for each group that `preprocess.map_groups` names. Law or policy may forbid it."""
    min_scored: int = 200
    """With fewer scored answers in the validation split nothing is fitted, and the run says so; a group with fewer
    takes the map for everybody."""

    def __post_init__(self) -> None:
        if self.min_scored < 20:
            raise ValueError(
                f"min_scored is {self.min_scored}; expected at least 20, as two numbers are fitted. 200 is usual."
            )
