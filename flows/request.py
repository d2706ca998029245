"""What a run is asked to do, as plain values: the parameters of the flow and of a schedule."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from components.errors import ConfigError
from components.ingest.addresses import secret_in


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run of one application."""

    application: str
    data: tuple[str, ...]
    """Files, folders, globs or URLs of raw logs."""
    test_data: tuple[str, ...] = ()
    """Files whose students are the test split, for published splits."""
    valid_data: tuple[str, ...] = ()
    """Files whose students are the validation split, likewise."""
    config: str = "small"
    """Name of a configuration of the application, or path of a TOML file."""
    overrides: tuple[str, ...] = ()
    """`section.key=value`."""
    refresh: tuple[str, ...] = ()
    """Stages to run even where a result is there."""

    def __post_init__(self) -> None:
        # Here, because a request is recorded: in a flow's parameters, a schedule, the store.
        secrets = [found for name in self.files() if (found := secret_in(name)) is not None]
        if secrets:
            raise ConfigError("Addresses of logs must hold no secrets:\n" + "\n".join(f"  - {s}" for s in secrets))

    def files(self) -> tuple[str, ...]:
        """Return all files, folders, globs and URLs of logs."""
        return (*self.data, *self.valid_data, *self.test_data)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value."""
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in value.items()}
        return cls(**plain)
