"""What runs now, in a file beside the logs, so that another process can show it and stop it."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.errors import ConfigError
from components.processes import Start, is_same, start_of
from flows.installation.children import Watched

FORMAT = 1
NEVER = Start("", 0.0)
"""The start of what does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One process as the state file has it."""

    name: str
    kind: str
    pid: int | None
    """None while it waits to be started again."""
    started: float
    """In seconds as `components.processes.Start` has them; 0 where it does not run."""
    restarts: int
    url: str
    log: str
    boot: str = ""
    """The id of the system's start; empty where it does not run, and in the file of an older version."""

    @property
    def start(self) -> Start:
        """When it began."""
        return Start(self.boot, self.started)

    @property
    def is_running(self) -> bool:
        """Whether this very process runs, not another that was given its number."""
        return self.pid is not None and is_same(self.pid, self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A state file: `homeroom up` and its processes."""

    pid: int
    start: Start
    phase: str
    """starting, running or stopping."""
    children: tuple[Shown, ...]

    @property
    def is_running(self) -> bool:
        """Whether this `up` runs."""
        return is_same(self.pid, self.start)


def running_folder(state: Path) -> Path:
    """Return the folder that is there while an installation runs."""
    return state / "running"


def new_mark(state: Path) -> Path:
    """Make a folder whose name marks all processes of one `up`; the next one has another, and its guard too."""
    running_folder(state).mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(prefix="up-", dir=running_folder(state)))


def marks(state: Path) -> list[Path]:
    """Return the marks that are there; those of an `up` that was killed stay until its guard has ended everything."""
    return sorted(running_folder(state).glob("up-*"))


def write_state(state: Path, phase: str, watched: Sequence[Watched]) -> None:
    """Write what runs, in one step."""
    children = [_shown(one) for one in watched]
    mine = start_of(os.getpid()) or NEVER
    value = {"format": FORMAT, "pid": os.getpid(), "started": mine.at_s, "boot": mine.boot, "phase": phase}
    path = running_folder(state) / "processes.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({**value, "children": [asdict(one) for one in children]}), encoding="utf-8")
    temporary.replace(path)


def read_state(state: Path) -> Running | None:
    """Return what runs, or None where nothing was started or what was is gone."""
    try:
        value: dict[str, Any] = json.loads((running_folder(state) / "processes.json").read_text(encoding="utf-8"))
        children = tuple(Shown(**one) for one in value["children"])
        start = Start(value.get("boot", ""), value["started"])
        return Running(pid=value["pid"], start=start, phase=value["phase"], children=children)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shown(one: Watched) -> Shown:
    pid = None if one.process is None else one.process.pid
    start = NEVER if pid is None else start_of(pid) or NEVER
    return Shown(
        name=one.child.name,
        kind=one.child.kind,
        pid=pid,
        started=start.at_s,
        restarts=one.restarts,
        url=one.child.url,
        log=str(one.child.log),
        boot=start.boot,
    )


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold the installation until the block ends; the system lets go of it when the process dies.

    Raises:
        ConfigError: another process holds it.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"Another `homeroom up` holds {state}. `homeroom status` shows what it runs, `homeroom down` ends it."
            ) from None
        yield
