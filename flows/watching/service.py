"""The side of the running service: what its workers say, the reference of what they serve, the watch's own file."""

import contextlib
import json
import os
from pathlib import Path

from components.errors import ConfigError
from components.monitoring.names import REFERENCE
from components.monitoring.reference import Reference
from components.monitoring.windows import DriftLimits
from components.store import Store
from flows.releases import find_release
from flows.watching.watcher import Watcher
from serving.monitor_metrics import LAST_WATCH
from serving.status import WorkerStatus, read_statuses

FORMER_KEPT = 20
"""Releases that were watched before, of which the workers are told that their drifts are over."""


def served_by(workers: list[WorkerStatus], application: str) -> str | None:
    """Return the version that all workers answer with, None while there are none or they differ.

    Raises:
        ConfigError: they serve another application.
    """
    versions = {one.release for one in workers}
    if len(versions) != 1 or (version := versions.pop()) is None:
        return None
    if version.rpartition("-")[0] != application:
        raise ConfigError(
            f"The server of this status folder serves {version}, no release of {application}. Name its application, or "
            "the status folder of a server of this one."
        )
    return version


def reference_of_release(store: Store, version: str) -> Reference | None:
    """Return the reference that a release carries, None for one that was made without.

    Raises:
        ReleaseNotFoundError: the store has no such release.
        StoreError: its files are not what was published.
    """
    path = store.folder(find_release(store, version)) / REFERENCE
    if not path.is_file():
        return None
    try:
        return Reference.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError):
        return None  # of a later homeroom


def workers_of(folder: Path) -> list[WorkerStatus]:
    """Return what the living workers of a server said. Raises ConfigError where there is no such folder."""
    if not folder.is_dir():
        raise ConfigError(
            f"There is no status folder {folder}. Start the server with HOMEROOM_SERVE_STATUS set to a folder, and "
            "name the same with --status."
        )
    return read_statuses(folder)


def read_watcher(folder: Path, release: str, limits: DriftLimits) -> Watcher:
    """Return the watch as it was left, or a new one where there is none of this release that can be read."""
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError, AttributeError):
        found = Watcher.from_json(json.loads((folder / LAST_WATCH).read_bytes()), limits)
        if found.release == release:
            return found
    return Watcher(release=release, limits=limits)


def write_watcher(folder: Path, watcher: Watcher) -> None:
    """Leave the watch where the next look, and the workers' metrics, find it; the live quality there stays.

    `former` are the signals of releases that were watched before, by release: no worker, whenever it was started, may
    go on to show a drift of these.
    """
    quality, former = {}, {}
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError, AttributeError):
        before = json.loads((folder / LAST_WATCH).read_bytes())
        quality = before.get("quality", {})
        former = {**before.get("former", {}), before["release"]: sorted(before["shown"])}
    former.pop(watcher.release, None)
    kept = dict(list(former.items())[-FORMER_KEPT:])
    _write(folder, {**watcher.to_json(), "quality": quality, "former": kept})


def write_quality(folder: Path, release: str, quality: dict[str, dict[str, dict[str, float]]]) -> None:
    """Have the workers' metrics show live quality: release -> metric -> `value` and `n`."""
    value: dict[str, object] = {"release": release, "shown": {}}
    with contextlib.suppress(OSError, ValueError):
        value = json.loads((folder / LAST_WATCH).read_bytes())
    _write(folder, {**value, "quality": quality})


def _write(folder: Path, value: dict[str, object]) -> None:
    part = folder / f"{LAST_WATCH}.{os.getpid()}.part"
    part.write_text(json.dumps(value), encoding="utf-8")
    os.replace(part, folder / LAST_WATCH)
