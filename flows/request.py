"""What a run is asked to do, as plain values: the parameters of the flow and of a schedule."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from components.errors import ConfigError
from components.ingest.addresses import secret_in

LONGEST_REASON = 2_000


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
    teacher_overrides: tuple[str, ...] = ()
    """Folders, files or URLs of the overrides that a service stored."""
    config: str = "small"
    """Name of a configuration of the application, or path of a TOML file."""
    overrides: tuple[str, ...] = ()
    """`section.key=value`."""
    refresh: tuple[str, ...] = ()
    """Stages to run even where a result is there."""
    reason: str = ""
    """Why it runs, for its record and report; changes nothing else. Never a student's text or id."""

    def __post_init__(self) -> None:
        if len(self.reason) > LONGEST_REASON or not self.reason.isprintable():
            raise ConfigError(
                f"The reason of a run has {len(self.reason)} characters; expected one line of at most {LONGEST_REASON}."
            )
        # Here, because a request is recorded: in a flow's parameters, a schedule, the store.
        secrets = [found for name in (*self.files(), *self.teacher_overrides) if (found := secret_in(name)) is not None]
        if secrets:
            raise ConfigError("Addresses of logs must hold no secrets:\n" + "\n".join(f"  - {s}" for s in secrets))

    def files(self) -> tuple[str, ...]:
        """Return all files, folders, globs and URLs of logs, without those of overrides."""
        return (*self.data, *self.valid_data, *self.test_data)

    def absolute(self) -> Self:
        """Return the same request with absolute paths, so that it means the same in another folder.

        Addresses stay as they are. A stage's key holds contents, not paths: it is the same for both.
        """
        return replace(
            self,
            data=tuple(_absolute(name) for name in self.data),
            test_data=tuple(_absolute(name) for name in self.test_data),
            valid_data=tuple(_absolute(name) for name in self.valid_data),
            teacher_overrides=tuple(_absolute(name) for name in self.teacher_overrides),
            # The name of a configuration is no path, though a file may be called so.
            config=str(Path(self.config).absolute()) if _is_path(self.config) else self.config,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; without a reason, as before there were reasons."""
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        return plain if self.reason else {name: v for name, v in plain.items() if name != "reason"}

    def asks_the_same(self, other: Mapping[str, Any]) -> bool:
        """Return whether another request, as plain JSON values, asks for the same, for whatever reason."""
        return {**self.to_json(), "reason": ""} == {**other, "reason": ""}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value."""
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in value.items()}
        return cls(**plain)


def _absolute(name: str) -> str:
    return name if "://" in name else str(Path(os.path.expanduser(name)).absolute())


def _is_path(config: str) -> bool:
    return (config.endswith(".toml") or len(Path(config).parts) > 1) and Path(config).is_file()
