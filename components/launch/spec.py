"""What is to be launched: a module by name with its arguments, and how many processes run it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from components.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """A job that any launcher can run. It names a module and never carries code; as JSON it is the same everywhere.

    Raises:
        ConfigError: a number that no launcher could work with, or a module's name that is none.
    """

    module: str
    """Import name of what every process runs as `python -m` would."""
    folder: str
    """Where the job's log and its processes' errors go; only this job's."""
    args: tuple[str, ...] = ()
    nodes_min: int = 1
    """Fewest machines that the job goes on with."""
    nodes_max: int = 1
    processes_per_node: int = 1
    max_restarts: int = 0
    """How often all processes are begun again after one of them failed; the module has to go on from a checkpoint."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those of the caller. They stand in a file: no secrets."""
    exchange_timeout_s: float = 300.0
    """How long a process waits for the others in one exchange before the attempt fails."""
    join_timeout_s: float = 600.0
    """How long fewer than `nodes_min` machines are waited for."""
    timeout_s: float | None = None
    """Longest duration of the whole job; None waits for ever."""
    grace_s: float = 10.0
    """How long stopped processes may take to save before they are killed."""

    def __post_init__(self) -> None:
        problems = [
            f"{name}={getattr(self, name)!r} must be at least {least}"
            for name, least in (("nodes_min", 1), ("processes_per_node", 1), ("max_restarts", 0), ("grace_s", 0))
            if getattr(self, name) < least
        ]
        problems += [
            f"{name}={getattr(self, name)!r} must be more than 0"
            for name in ("exchange_timeout_s", "join_timeout_s")
            if getattr(self, name) <= 0
        ]
        if self.nodes_max < self.nodes_min:
            problems.append(f"nodes_max={self.nodes_max} must be at least nodes_min={self.nodes_min}")
        if self.timeout_s is not None and self.timeout_s <= 0:
            problems.append(f"timeout_s={self.timeout_s} must be more than 0, or None")
        if not all(part.isidentifier() for part in self.module.split(".")):
            problems.append(f"module={self.module!r} must be the import name of a module")
        if problems:
            raise ConfigError(f"This job cannot be launched: {'; '.join(problems)}.")

    def to_json(self) -> str:
        """Return the job as one JSON object."""
        return json.dumps({**asdict(self), "args": list(self.args), "env": dict(self.env)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the job that `to_json` wrote.

        Raises:
            ConfigError: it is none.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(**{**values, "args": tuple(values.get("args", ()))})
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"This is no job to launch: {error}. Expected what LaunchSpec.to_json wrote.") from error

    @property
    def place(self) -> Path:
        """Return the job's folder."""
        return Path(self.folder)
