"""Configuration of reweighing: which attribute, which weights."""

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
