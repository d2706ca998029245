"""Configuration of a release."""

from components.config import config_class


@config_class
class ReleaseConfig:
    """What goes into a release of any application."""

    golden_requests: int = 16
    """Synthetic requests that a service must answer as recorded before it is ready."""
    golden_seed: int = 0
    golden_tolerance: float = 1e-5
    """Largest allowed difference of a number in a golden answer."""

    def __post_init__(self) -> None:
        if self.golden_requests < 1 or self.golden_tolerance <= 0:
            raise ValueError(
                f"golden_requests={self.golden_requests} must be at least 1, golden_tolerance={self.golden_tolerance} "
                "above 0."
            )


@config_class
class DeployConfig(ReleaseConfig):
    """What goes into a release of an application on student logs, and when it takes over."""

    max_auc_drop: float = 0.005
    """A release does not take over when its AUC is lower than the champion's by more than this."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_auc_drop < 0:
            raise ValueError(f"max_auc_drop={self.max_auc_drop} must be 0 or more.")
