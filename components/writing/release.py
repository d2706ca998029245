"""Configuration of a release of a grading application."""

from components.config import config_class
from components.deploy.config import ReleaseConfig


@config_class
class WritingDeployConfig(ReleaseConfig):
    """What goes into a release and when it takes over."""

    max_qwk_drop: float = 0.01
    """A release does not take over when its mean QWK is lower than the champion's by more than this."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_qwk_drop < 0:
            raise ValueError(f"max_qwk_drop={self.max_qwk_drop} must be 0 or more.")
