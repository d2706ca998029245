"""The processes of an installation: what each is started with, and one that is watched and started again."""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from flows.installation.places import District, Installation, environment_of, server_environment
from flows.installation.probes import Patience, Probe

ROOT = Path(__file__).resolve().parents[2]
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
STEADY_S = 60.0
"""A process that lived so long had a good start: the next waiting time begins anew."""
TERMINATED_S = 5.0
"""How long processes have between SIGTERM and SIGKILL once the grace time is over."""
HUNG_S = 30.0
"""How long one that does not answer has to end by itself before it is killed."""

Kind = Literal["server", "worker", "service", "watch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What one process is started with."""

    name: str
    kind: Kind
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    url: str = ""
    """Where it answers."""
    memory_gib: float | None = None
    patience: Patience | None = None
    """How long it may not answer to `/livez` before it is started again; None: it is not asked."""


def server_of(installation: Installation) -> Child:
    """Return the Prefect server, on the loopback alone."""
    return Child(
        name="prefect",
        kind="server",
        command=(
            *(sys.executable, "-m", "prefect", "server", "start"),
            *("--host", "127.0.0.1", "--port", str(installation.machine.prefect_port)),
        ),
        environment=importable(server_environment(installation)),
        log=installation.state / "logs" / "prefect.log",
        url=installation.api_url,
    )


def workers_of(installation: Installation) -> list[Child]:
    """Return a Prefect worker for each district; its runs have its environment, and so the district's keys alone."""
    return [
        Child(
            name=f"{one.name}-worker",
            kind="worker",
            command=(
                *(sys.executable, "-m", "prefect", "worker", "start"),
                *("--pool", one.pool, "--type", "process", "--name", one.name, "--limit", str(one.runs)),
                *("--install-policy", "never", "--no-create-pool-if-not-found"),
            ),
            environment=importable(environment_of(installation, one)),
            log=installation.state / "logs" / f"{one.name}-worker.log",
            memory_gib=one.memory_gib,
        )
        for one in installation.districts
    ]


def services_of(installation: Installation) -> list[Child]:
    """Return the services of all districts; each is `homeroom serve` with its district's places."""
    return [
        _service(installation, one, name)
        for one in installation.districts
        for name, plan in one.applications.items()
        if plan.port is not None
    ]


def watches_of(installation: Installation) -> list[Child]:
    """Return what watches the services for drift; its runs are the district's, as those of its worker."""
    return [
        Child(
            name=f"{one.name}-{name}-watch",
            kind="watch",
            command=(sys.executable, "-m", "flows", "watch", name, "--status", str(_status(installation, one, name))),
            environment=importable(environment_of(installation, one)),
            log=installation.state / "logs" / f"{one.name}-{name}-watch.log",
            memory_gib=one.memory_gib,
        )
        for one in installation.districts
        for name, plan in one.applications.items()
        if plan.watch
    ]


def _status(installation: Installation, district: District, application: str) -> Path:
    """Return where a service says what it does: always there, so that `homeroom watch` finds it."""
    return installation.state / "status" / f"{district.name}-{application}"


def _service(installation: Installation, district: District, application: str) -> Child:
    plan = district.applications[application]
    words = [sys.executable, "-m", "flows", "serve", application, "--host", plan.host, "--port", str(plan.port)]
    words += ["--workers", str(plan.workers)] if plan.workers > 1 else []
    for option, value in (("--tls-cert", plan.tls_cert), ("--tls-key", plan.tls_key)):
        words += [] if value is None else [option, str(district.file(value))]
    variables = {
        name: value
        for name, value in environment_of(installation, district).items()
        if not name.startswith("PREFECT_")  # a service has no business with the runs
    }
    variables["HOMEROOM_SERVE_STATUS"] = str(_status(installation, district, application))
    if plan.access_keys is not None:
        variables["HOMEROOM_SERVE_KEYS"] = str(district.file(plan.access_keys))
    host = "127.0.0.1" if plan.host in {"0.0.0.0", "::"} else plan.host
    return Child(
        name=f"{district.name}-{application}",
        kind="service",
        command=tuple(words),
        environment=importable(variables),
        log=installation.state / "logs" / f"{district.name}-{application}.log",
        url=f"{'http' if plan.tls_cert is None else 'https'}://{host}:{plan.port}",
        patience=installation.machine.patience,
    )


def engine_command() -> str:
    """Return the command line of a flow run; said, as Prefect else looks for packages to install first."""
    return shlex.join([sys.executable, "-m", "prefect.engine"])


def importable(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables with which homeroom's packages can be imported from any folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), variables.get("PYTHONPATH")]))
    return {**variables, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "DO_NOT_TRACK": "1"}


def spawn(child: Child, mark: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own: what the terminal sends to `up` reaches it through `up` alone."""
    child.log.parent.mkdir(parents=True, exist_ok=True)
    with child.log.open("ab") as stream:
        process = subprocess.Popen(
            child.command,
            env={**child.environment, **mark},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if child.memory_gib is not None:
        import resource  # late: not on every system

        most = int(child.memory_gib * 1024**3)
        with contextlib.suppress(ProcessLookupError):
            # Of the worker, which starts runs much later: they inherit it.
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (most, most))
    return process


class Watched:
    """One child that is started again when it dies, or does not answer, later each time that it does so soon.

    Args:
        child: what to start.
        start: starts it, and returns something that has `pid`, `poll()`, `terminate()` and `kill()`.
        clock: seconds that only grow.
        say: told in one line what happens.
        probe: asks it whether it works; by default over HTTP where it has patience for that.
    """

    def __init__(
        self,
        child: Child,
        start: Callable[[Child], "subprocess.Popen[bytes]"],
        clock: Callable[[], float],
        say: Callable[[str], None],
        probe: Probe | None = None,
    ) -> None:
        self.child = child
        if probe is None and child.patience is not None:
            probe = Probe(f"{child.url}/livez", child.patience)
        self._probe = probe
        self._ended: float | None = None
        """When it was told to end, as it did not answer."""
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self._start, self._clock, self._say = start, clock, say
        self._since = 0.0
        self._wait_s = FIRST_WAIT_S
        self._due = clock()

    @property
    def is_running(self) -> bool:
        """Whether the process is there, as far as the last look showed."""
        return self.process is not None

    def look(self) -> bool:
        """Start the process where it is time to; return whether anything changed."""
        now = self._clock()
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                self._end_hung(self.process, now)
                return False
            self.process = None
            if now - self._since >= STEADY_S:
                self._wait_s = FIRST_WAIT_S
            self._due = now + self._wait_s
            self._say(
                f"{self.child.name} ended with status {status} after {now - self._since:.0f} s; starting it again in "
                f"{self._wait_s:.0f} s (its log: {self.child.log})"
            )
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            self.restarts += 1
            return True
        if now < self._due:
            return False
        self.process = self._start(self.child)
        self._since = now
        self._ended = None
        if self._probe is not None:
            self._probe.begin()
        return True

    def _end_hung(self, process: "subprocess.Popen[bytes]", now: float) -> None:
        """End a process that lives and does not answer: as it is asked to, else as it must."""
        if self._ended is None:
            if self._probe is None or not self._probe.is_hung():
                return
            self._ended = now
            self._say(
                f"{self.child.name} runs, and gave no answer on {self._probe.url} {self._probe.missed} times in a row; "
                "ending it, to start it again"
            )
            process.terminate()
        elif now - self._ended >= HUNG_S:
            process.kill()  # its guard ends what it started


def stop(children: list[Watched], grace_s: Callable[[], float], look: Callable[[], None] = lambda: None) -> None:
    """Stop processes, at once with each other: SIGTERM, a time to end, then the same for all that they started.

    Args:
        children: what to stop; they are not started again.
        grace_s: how long they have from the call on; asked again and again, as it may be cut short.
        look: called while they are waited for.
    """
    running = [one.process for one in children if one.process is not None]
    below: list[psutil.Process] = []
    for process in running:
        with contextlib.suppress(psutil.Error):
            below += psutil.Process(process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    begin = time.monotonic()
    while any(process.poll() is None for process in running) and time.monotonic() - begin < grace_s():
        look()
        time.sleep(0.1)
    for process in running:  # a run that has begun since
        with contextlib.suppress(psutil.Error):
            below += psutil.Process(process.pid).children(recursive=True)
    left = [one for one in {*below} if one.is_running()]
    for one in left:
        with contextlib.suppress(psutil.Error):
            one.terminate()
    psutil.wait_procs(left, timeout=TERMINATED_S)
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
    for one in left:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(left, timeout=TERMINATED_S)
    for watched in children:
        watched.process = None
