"""Which runs are under way in a store, and which have died: one small record per run, and a lock beside it.

    records/leases/<run>.json    who runs what, in which stage, with which artifacts, and when it last said so
    locks/run-<run>.lock         held for as long as the process lives, on the machine that runs

A process that is killed leaves its record behind, and the system frees its lock at once, also when another process
gets its number. On that machine the lock decides; elsewhere, as with a store on S3, the age of the last heartbeat does.
A run that ends well leaves no lease: it has its run record then.
"""

import contextlib
import fcntl
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from components.artifacts import JsonValue
from components.errors import StoreError
from components.stage import StageEvent
from components.store import Store

FOLDER = "leases"
HEARTBEAT_S = 10.0
"""How often a run says that it lives."""
DEAD_AFTER_S = 60.0
"""How old the last heartbeat of a live run may be, seen from another machine: clocks differ and stores are slow."""

Status = Literal["running", "dead", "failed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a run says of itself while it runs. Times are UTC in ISO 8601."""

    run: str
    application: str
    request: Mapping[str, JsonValue]
    """What was asked for; the same request goes on from here."""
    host: str
    pid: int
    process_started_utc: str
    started_utc: str
    heartbeat_utc: str
    stage: str = ""
    """The stage it is in; empty between stages."""
    artifacts: tuple[str, ...] = ()
    """Identities of the artifacts that it has used or made so far; stages it is in have read nothing else."""
    flow_run: str = ""
    """The id of Prefect's flow run, where there is one."""
    ended: Literal["", "failed", "stopped"] = ""
    """Set by a run that ended without a result; a killed one cannot say anything."""
    error: str = ""
    """Kind of the error that ended it."""

    def to_json(self) -> dict[str, Any]:  # Any: plain JSON
        """Return the fields as plain JSON values."""
        return {**asdict(self), "artifacts": list(self.artifacts), "request": dict(self.request)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:  # Any: parsed JSON
        """Rebuild from `to_json`'s value."""
        return cls(**{**value, "artifacts": tuple(value["artifacts"])})


class HeldLease:
    """The lease of the run that is under way; made by `held`."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._writing = threading.Lock()
        self._over = False

    @property
    def lease(self) -> Lease:
        """What the record says now."""
        return self._lease

    def observe(self, event: StageEvent) -> None:
        """Note what happened to a stage; written at once only where a stage starts or has run."""
        with self._writing:
            known = self._lease.artifacts
            if event.artifact and event.artifact not in known:
                known = (*known, event.artifact)
            stage = event.stage if event.status == "started" else ""
            self._lease = replace(self._lease, stage=stage, artifacts=known)
            if event.status in ("started", "finished"):
                with contextlib.suppress(StoreError):  # a note; what must be written fails by itself
                    self._write()

    def beat(self) -> None:
        """Say that the run lives.

        Raises:
            StoreError: the store cannot be written.
        """
        with self._writing:
            if not self._over:
                self._write()

    def end(self, error: BaseException | None) -> None:
        """Take the lease away, or leave why the run ended without a result."""
        with self._writing:
            self._over = True  # a heartbeat that waits for the lock must not bring the record back
            if error is None:
                with contextlib.suppress(StoreError):  # the run record is there, and says more
                    self._store.delete_record(path_of(self._lease.run))
                return
            ended: Literal["failed", "stopped"] = "failed" if isinstance(error, Exception) else "stopped"
            self._lease = replace(self._lease, ended=ended, error=type(error).__name__)
            with contextlib.suppress(StoreError):  # the error that ends the run says more
                self._write()

    def _write(self) -> None:
        self._lease = replace(self._lease, heartbeat_utc=_now())
        self._store.write_record(path_of(self._lease.run), self._lease.to_json())


@contextlib.contextmanager
def held(
    store: Store, *, run: str, application: str, request: Mapping[str, JsonValue], flow_run: str = ""
) -> Iterator[HeldLease]:
    """Hold a lease on `store` for a run; give what notes its stages.

    Args:
        store: where the run's artifacts go.
        run: its id, used once.
        application: its name.
        request: what was asked for; holds no secret.
        flow_run: the id of Prefect's flow run.

    Raises:
        StoreError: the store cannot be written.
    """
    lock = _lock_file(store, run)
    lock.parent.mkdir(parents=True, exist_ok=True)
    now = _now()
    lease = Lease(
        run=run,
        application=application,
        request=request,
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started_utc=_process_started(),
        started_utc=now,
        heartbeat_utc=now,
        flow_run=flow_run,
    )
    over = threading.Event()
    # Not inheritable, so no child keeps the lock of a dead parent.
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        mine = HeldLease(store, lease)
        try:
            mine.beat()
            threading.Thread(target=_beat_until, args=(mine, over), name="lease", daemon=True).start()
            yield mine
        except BaseException as error:
            over.set()
            mine.end(error)
            raise
        else:
            over.set()
            mine.end(None)
        finally:
            lock.unlink(missing_ok=True)


def read_leases(store: Store) -> list[Lease]:
    """Return all leases in the store, oldest first; one that cannot be read is left out."""
    found = []
    for path in store.list_records(FOLDER):
        value = store.read_record(path)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            found.append(Lease.from_json(value))
    return sorted(found, key=lambda lease: (lease.started_utc, lease.run))


def status_of(store: Store, lease: Lease, now: datetime | None = None) -> Status:
    """Return whether the run lives, died, or ended by itself.

    Args:
        store: where the lease was read.
        lease: the run's.
        now: the time to measure the heartbeat's age from; the clock's by default.
    """
    if lease.ended:
        return lease.ended
    if lease.host == socket.gethostname() and (is_held := _is_locked(_lock_file(store, lease.run))) is not None:
        return "running" if is_held else "dead"
    age = (now or datetime.now(UTC)) - datetime.fromisoformat(lease.heartbeat_utc)
    return "running" if age < timedelta(seconds=DEAD_AFTER_S) else "dead"


def running(store: Store) -> list[Lease]:
    """Return the leases of the runs that live, oldest first."""
    return [lease for lease in read_leases(store) if status_of(store, lease) == "running"]


def dead(store: Store) -> list[Lease]:
    """Return the leases of the runs that died without a word, oldest first."""
    return [lease for lease in read_leases(store) if status_of(store, lease) == "dead"]


def forget(store: Store, run: str) -> None:
    """Delete what a run left that does not live any more; none is no error."""
    store.delete_record(path_of(run))
    _lock_file(store, run).unlink(missing_ok=True)


def path_of(run: str) -> str:
    """Return the path of a run's lease below the store's records."""
    return f"{FOLDER}/{run}.json"


def _beat_until(mine: HeldLease, over: threading.Event) -> None:
    while not over.wait(HEARTBEAT_S):
        with contextlib.suppress(StoreError):  # one beat may be lost
            mine.beat()


def _is_locked(lock: Path) -> bool | None:
    """Return whether a process holds the lock; None where there is no such file on this machine."""
    try:
        with lock.open("r") as handle:
            # Shared: two who look at the same time must not take each other for the run.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return True
    return False


def _lock_file(store: Store, run: str) -> Path:
    return (store.local_root or store.cache) / "locks" / f"run-{run}.lock"


def _process_started() -> str:
    try:  # psutil reads the same, but takes a tenth of the time that a run with nothing to do has
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        started = int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):  # another system
        import psutil

        started = psutil.Process().create_time()
    return datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
