"""A finished run of an application on made-up data, in a store and with keys of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.secrets import SecretKey, write_key
from components.store import Store
from flows.operations import run_request
from flows.privacy import refuse_tracking
from flows.request import RunRequest
from flows.settings import Settings
from flows.summary import RunSummary
from serving.bundle import Bundle, load_bundle


@dataclass(frozen=True)
class Released:
    """What a run left."""

    settings: Settings
    logs: Path
    """The raw file that it began with."""
    summary: RunSummary

    @property
    def store(self) -> Store:
        """The run's store."""
        return self.settings.open_store()

    def bundle(self) -> Bundle:
        """Return the release as a service loads it, after every byte and the signature were verified."""
        release = self.summary.outcome.release
        return load_bundle(self.store.folder(release), self.settings.trusted_keys())


def own_settings(home: Path) -> Settings:
    """Return settings that keep everything below `home`, with a pseudonym key that is always the same.

    Pseudonyms decide who is held out: with a new key, every session would test other students.
    """
    write_key(home / "keys" / "pseudonym.key", SecretKey(bytes(range(32))))
    return Settings(store=str(home / "store"), cache=home / "cache", keys=home / "keys")


def release_application(
    application: str, logs: Path, settings: Settings, *, config: str = "small", overrides: Sequence[str] = ()
) -> Released:
    """Run an application on a raw file, in this process, to a release."""
    refuse_tracking()
    request = RunRequest(application=application, data=(str(logs),), config=config, overrides=tuple(overrides))
    return Released(settings, logs, run_request(request, settings))
