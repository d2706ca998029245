"""The runs of a store: finished ones from their records, the others from their leases; what to do about dead ones."""

import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from components.errors import ConfigError
from components.store import Store
from components.upkeep import leases
from components.upkeep.leases import Lease
from flows.request import RunRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, as `homeroom runs` shows it."""

    run: str
    application: str
    status: Literal["running", "finished", "dead", "failed", "stopped"]
    started_utc: str
    stage: str = ""
    """Where it is, or where it ended; empty between stages and for finished runs."""
    seconds: float | None = None
    """How long a finished run took."""
    release: str = ""
    """Version of the release that a finished run made."""
    host: str = ""
    pid: int | None = None
    heartbeat_utc: str = ""
    error: str = ""
    """Kind of the error that ended a failed run."""
    command: str = ""
    """What goes on from where a run ended without a result."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def list_runs(store: Store, application: str | None = None, *, latest: int | None = None) -> list[Run]:
    """Return the runs in the store, oldest first.

    Args:
        store: where they ran.
        application: only its runs.
        latest: only so many finished runs, the latest; all others are always listed.
    """
    paths = store.list_records("runs" if application is None else f"runs/{application}")
    paths.sort(key=lambda path: path.rpartition("/")[2])
    ids = {path.rpartition("/")[2].removesuffix(".json") for path in paths}
    found = [
        _from_lease(store, lease)
        for lease in leases.read_leases(store)
        # Killed between its record and its end: it has finished all the same.
        if lease.run not in ids and application in (None, lease.application)
    ]
    for path in paths if latest is None else paths[max(0, len(paths) - latest) :]:
        record = store.read_record(path)
        if record is not None:
            found.append(_from_record(path, record))
    return sorted(found, key=lambda run: (run.started_utc, run.run))


def tell_of_dead_runs(store: Store, request: RunRequest, say: Callable[[str], None]) -> None:
    """Say in one line that an earlier run of this request died, or that runs of other requests did."""
    dead = leases.dead(store)
    same = [lease for lease in dead if request.asks_the_same(lease.request)]
    if same:
        last = same[-1]
        say(
            f"run {last.run} of this request died {_where(last.stage)}; going on from there: finished stages are "
            "skipped, training continues from its last checkpoint"
        )
    elif dead:
        say(f"{len(dead)} other run(s) in this store died; `homeroom runs` says how to go on with them")


def forget_continued(store: Store, request: RunRequest) -> None:
    """Drop the leases of runs of this request that ended without a result: a run of it has finished now."""
    for lease in leases.read_leases(store):
        if request.asks_the_same(lease.request) and leases.status_of(store, lease) != "running":
            leases.forget(store, lease.run)


def forget_run(store: Store, run: str) -> None:
    """Drop the lease of a run that ended without a result and that nobody will go on with.

    Raises:
        ConfigError: there is no such run, or it lives.
    """
    found = {lease.run: lease for lease in leases.read_leases(store)}
    lease = found.get(run)
    if lease is None or leases.status_of(store, lease) == "running":
        what = "it is running" if lease is not None else "it is no dead, failed or stopped run of this store"
        raise ConfigError(f"Run {run!r} cannot be forgotten: {what}. `homeroom runs` lists them.")
    leases.forget(store, run)


def command_of(request: RunRequest) -> str:
    """Return the command line that asks for the same."""
    words = ["homeroom", "run", request.application]
    for option, values in (
        ("--data", request.data),
        ("--test-data", request.test_data),
        ("--valid-data", request.valid_data),
        ("--overrides", request.teacher_overrides),
        ("--config", (request.config,)),
        ("--set", request.overrides),
        ("--refresh", request.refresh),
        ("--reason", (request.reason,) if request.reason else ()),
    ):
        for value in values:
            words += [option, value]
    return shlex.join(words)


def _from_lease(store: Store, lease: Lease) -> Run:
    status = leases.status_of(store, lease)
    return Run(
        run=lease.run,
        application=lease.application,
        status=status,
        started_utc=lease.started_utc,
        stage=lease.stage,
        host=lease.host,
        pid=lease.pid,
        heartbeat_utc=lease.heartbeat_utc,
        error=lease.error,
        command="" if status == "running" else command_of(RunRequest.from_json(lease.request)),
    )


def _from_record(path: str, record: Any) -> Run:  # Any: parsed JSON
    _, application, name = path.split("/")
    run = name.removesuffix(".json")
    return Run(
        run=run,
        application=application,
        status="finished",
        started_utc=_started(run),
        seconds=record["seconds"],
        release=record["release"]["version"],
    )


def _started(run: str) -> str:
    """Return the time in a run's id."""
    stamp = run.partition("-")[0]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).isoformat(timespec="milliseconds")


def _where(stage: str) -> str:
    return f"in stage {stage}" if stage else "between stages"
