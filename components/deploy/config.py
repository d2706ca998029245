"""Configuration of a release."""

from typing import Literal

from components.config import config_class
from components.evaluate.config import MIN_RESAMPLES

MOST_APPROVAL_DAYS = 366


@config_class
class ReleaseConfig:
    """What goes into a release of any application."""

    golden_requests: int = 16
    """Synthetic requests that a service must answer as recorded before it is ready."""
    golden_seed: int = 0
    golden_tolerance: float = 1e-5
    """Largest allowed difference of a number in a golden answer."""
    reference_requests: int = 2_000
    """Requests, at most, drawn from what the evaluation held out, by whose signals drift is told; 0: none."""
    reference_seed: int = 0
    compare_resamples: int = 500
    """Bootstrap resamples of whole students when a release is compared with the champion."""
    compare_confidence: float = 0.95
    """Of the one-sided interval of the difference."""
    compare_seed: int = 0
    undecided: Literal["point", "warn", "stop"] = "point"
    """What follows where the release is neither shown to be no worse nor to be worse: its figure decides, with a
    warning (`point`), it takes over with a warning (`warn`), or it does not (`stop`)."""
    useless: Literal["warn", "stop"] = "stop"
    """What follows where a model is of no use: it answers everybody alike, or follows the truth no better than chance.
    One that ranks answers, but is a constant at the threshold, gives a warning."""
    replay: Literal["in_process", "service", "off"] = "in_process"
    """How the golden requests are asked before a release takes over: through the service's own routes in this process,
    of a whole server that is started from the release (some seconds), or not at all (with a warning)."""
    latency_budget_ms: float = 0.0
    """A release does not take over when 95 % of the golden requests are not answered within so many milliseconds, one
    after the other; 0 is off."""
    approvals: Literal[0, 1, 2] = 0
    """How many people must approve before a release serves (`homeroom approve`)."""
    approval_days: int = 14
    """How long they have; then the answer is no."""

    def __post_init__(self) -> None:
        problems = []
        if self.compare_resamples < MIN_RESAMPLES:
            problems.append(f"compare_resamples is {self.compare_resamples}; expected at least {MIN_RESAMPLES}.")
        if not 0.5 < self.compare_confidence < 1.0:
            problems.append(
                f"compare_confidence is {self.compare_confidence}; expected above 0.5 and below 1, e.g. 0.95."
            )
        if self.reference_requests < 0 or self.reference_seed < 0:
            problems.append(
                f"reference_requests is {self.reference_requests}, reference_seed {self.reference_seed}; expected 0 or "
                "more."
            )
        if self.compare_seed < 0:
            problems.append(f"compare_seed is {self.compare_seed}; expected 0 or more.")
        if not 0 <= self.latency_budget_ms < float("inf"):
            problems.append(f"latency_budget_ms is {self.latency_budget_ms}; expected 0 (off) or more.")
        if not 1 <= self.approval_days <= MOST_APPROVAL_DAYS:
            problems.append(f"approval_days is {self.approval_days}; expected 1 to {MOST_APPROVAL_DAYS}.")
        if problems:
            raise ValueError(" ".join(problems))
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
    max_worst_group_auc_drop: float = 0.02
    """The same of the lowest AUC of any group, whichever it is in each release; 0 is off."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_auc_drop", "max_worst_group_auc_drop"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be 0 or more.")
