"""Configuration of a release of a grading application."""

from components.config import config_class
from components.deploy.config import ReleaseConfig


@config_class
class WritingDeployConfig(ReleaseConfig):
    """What goes into a release and when it takes over."""

    max_qwk_drop: float = 0.01
    """A release does not take over when its mean QWK is lower than the champion's by more than this."""
    max_worst_group_qwk_drop: float = 0.05
    """The same of the lowest QWK of any group, whichever it is in each release; 0 is off."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_qwk_drop", "max_worst_group_qwk_drop"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be 0 or more.")
