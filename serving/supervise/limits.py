"""By what a new release is judged while it answers."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from components.errors import ConfigError

STAGES = (1, 10, 50)
"""Shares of the students, percent, that a canary answers one after the other; after the last it is promoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on a release that answers, beside the one that did before or does for the other students.

    All are about what was counted since the last change of what serves.
    """

    min_requests: int = 200
    """Requests that the new release must have answered before anything is decided for it."""
    min_errors: int = 5
    """Failures from which on it may be decided against it with fewer requests."""
    min_stage_s: float = 60.0
    """Least time in each stage of a canary."""
    error_rate: float = 0.02
    """Largest share of failures (500, 504, and a challenger's fallbacks) above the other release's share."""
    invalid_rate: float = 0.1
    """Largest share of requests that a release cannot read (400) and the one before it can, which tries them too."""
    latency_ratio: float = 2.0
    """Largest 95th percentile of the latency, over the other release's."""
    latency_floor_s: float = 0.05
    """A 95th percentile up to this is never too slow, whatever the ratio."""
    score_shift: float = 0.5
    """Largest shift of the mean score, as an effect size: in pooled standard deviations, up or down."""
    worker_deaths: int = 3
    """Worker processes that ended since the change from which on it is undone, whatever was counted."""
    silence_s: float = 30.0
    """The same where all workers ended and none came back for so long."""
    watch_s: float = 1800.0
    """How long after a promotion the former champion may be brought back."""

    def __post_init__(self) -> None:
        problems = [
            f"{one.name} is {getattr(self, one.name)}"
            for one in fields(self)
            if not getattr(self, one.name) >= (1 if one.type in ("int", int) else 0)
        ]
        if problems:
            raise ConfigError(f"{', '.join(problems)}; expected a number that is not negative, of counts at least 1.")

    def with_values(self, texts: Iterable[str]) -> "Limits":
        """Return these with changes written as `name=value`. Raises ConfigError for an unknown name or no number."""
        changes: dict[str, float] = {}
        kinds = {one.name: int if one.type in ("int", int) else float for one in fields(self)}
        for text in texts:
            name, _, value = text.partition("=")
            if name not in kinds:
                raise ConfigError(f"There is no limit {name!r}; there are: {', '.join(kinds)}. Write name=value.")
            try:
                changes[name] = kinds[name](value)
            except ValueError as error:
                raise ConfigError(f"{name} is {value!r}; expected a number ({kinds[name].__name__}).") from error
        return replace(self, **changes)  # type: ignore[arg-type]  # of the fields' own kinds
