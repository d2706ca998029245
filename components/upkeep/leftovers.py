"""What killed runs leave on a machine: scratch folders, job folders, lock files, old copies; and what is alive of them.

A system lock tells the living from the dead: the system frees it when its holder dies, however that happens.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from components.store import Store
from components.upkeep import names


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file or folder of this machine that nobody needs any more."""

    kind: Literal["temporary", "job", "lock", "copy", "report"]
    path: Path
    bytes: int
    reason: str


@contextlib.contextmanager
def held_alone(path: Path) -> Iterator[bool]:
    """Give whether nobody else holds the lock of `path`; if so, it is held until the end of the `with`."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False  # somebody may make it, and hold it, before the caller has done anything
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_same = os.path.samestat(os.fstat(handle), path.stat())
        except OSError:
            yield False
        else:
            yield is_same
    finally:
        os.close(handle)


def stages_at_work(store: Store) -> dict[str, datetime]:
    """Return the locks (`<stage>-<key>`) that running stages of this machine hold, and since when."""
    found = {}
    for path in _children(store.local_folder / "locks", names.is_lock):
        with held_alone(path) as alone:
            if not alone:
                with contextlib.suppress(FileNotFoundError):
                    found[path.name.removesuffix(".lock")] = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return found


def find_leftovers(
    store: Store,
    finished_jobs: frozenset[str],
    now: datetime,
    grace: timedelta,
    keep_for: timedelta,
    kept_reports: frozenset[str],
) -> list[Leftover]:
    """Return what can go from this machine's folder of the store.

    Args:
        store: the store.
        finished_jobs: names of jobs whose stage has its record.
        now: by the clock of this machine's disk.
        grace: nothing younger goes.
        keep_for: unfinished jobs (a new run would go on from their checkpoints), copies and reports stay so long.
        kept_reports: names of runs whose reports stay.
    """
    home = store.local_folder
    at_work = stages_at_work(store)
    found = []
    for path in _children(home / "tmp", names.is_scratch):
        with held_alone(path) as alone:
            if alone and now - _newest(path) > grace:
                found.append(_leftover("temporary", path, "left by a run or a transfer that was killed"))
    for path in _children(home / "jobs", names.is_job):
        if path.name in at_work:
            continue
        if path.name in finished_jobs:
            limit, reason = grace, "its stage has finished"
        else:
            limit, reason = keep_for, "its run died, and no run went on from it since"
        if now - _newest(path) > limit:
            found.append(_leftover("job", path, reason))
    for path in _children(home / "locks", names.is_lock):
        if path.name.removesuffix(".lock") not in at_work and now - _newest(path) > grace:
            found.append(_leftover("lock", path, "nobody holds it"))
    for path in _children(home / "runs", names.is_report):
        if path.name not in kept_reports and now - _newest(path) > keep_for:
            found.append(_leftover("report", path, "its run is not kept"))
    if store.local_root is None:
        for path in _children(home / "artifacts", names.is_identity):
            if now - datetime.fromtimestamp(path.stat().st_mtime, UTC) > keep_for:
                found.append(_leftover("copy", path, "a copy that was not used since; it can be fetched again"))
    return found


def delete_leftover(leftover: Leftover) -> bool:
    """Delete it unless somebody took it into use meanwhile; return whether it is gone."""
    path = leftover.path
    with held_alone(path) as alone:
        if not alone:
            return not path.exists()
        if leftover.kind == "job":
            lock = path.parent.parent / "locks" / f"{path.name}.lock"
            lock.parent.mkdir(exist_ok=True)
            lock.touch()
            with held_alone(lock) as free:
                if free:
                    shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return not path.exists()


def _leftover(kind: Literal["temporary", "job", "lock", "copy", "report"], path: Path, reason: str) -> Leftover:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    sizes = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            sizes.append(file.stat().st_size)
    return Leftover(kind=kind, path=path, bytes=sum(sizes), reason=reason)


def _children(folder: Path, is_ours: Callable[[str], bool]) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if is_ours(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _newest(path: Path) -> datetime:
    """Return the latest time of anything at or below `path`; of what vanishes meanwhile, now."""
    times = []
    try:
        times.append(path.stat().st_mtime)
        for folder, folders, names in os.walk(path):
            times += [Path(folder, name).stat().st_mtime for name in (*folders, *names)]
    except FileNotFoundError:
        return datetime.now(UTC)
    return datetime.fromtimestamp(max(times), UTC)
