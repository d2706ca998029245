"""`homeroom up`: start everything in order, watch it, stop it in order; nothing outlives it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from components.errors import ConfigError, StoreError
from flows.installation import children, logs, state
from flows.installation.children import Child, Watched
from flows.installation.places import Installation, server_environment
from flows.installation.probes import answers
from serving.guard import MARK, end_marked

LOOK_S = 0.5
ROTATE_S = 60.0
SERVER_S = 300.0
"""How long the Prefect server may take until it answers; with a new database half a minute on a busy machine."""
SERVICE_GRACE_S = 30.0
"""How long a service may take to end: it answers what it has taken."""
SERVER_GRACE_S = 15.0
ORPHAN_GRACE_S = 10.0
"""How long everything has to end once `up` itself was killed."""


class Up:
    """A running installation.

    Args:
        installation: what to run.
        say: told in one line what happens.
        grace_s: how long running stages have to end; by default the file's.
    """

    def __init__(self, installation: Installation, say: Callable[[str], None], grace_s: float | None = None) -> None:
        self._installation = installation
        self._told = say
        self._grace_s = installation.machine.grace_s if grace_s is None else grace_s
        self._over = threading.Event()
        self._hurry = False
        self._phase = "starting"
        self._watched: list[Watched] = []
        self._mark: dict[str, str] = {}
        self._rotated = time.monotonic()

    def run(self) -> None:
        """Run everything until a signal ends it.

        Raises:
            ConfigError: another `up` runs, or the file asks for something wrong.
            StoreError: the Prefect server does not come up.
        """
        with (
            state.only_one(self._installation.state),
            _signals(self._end),
            self._guarded(),
        ):
            try:
                self._start()
                while not self._over.wait(LOOK_S):
                    self._look()
            finally:
                self._stop()

    def _end(self) -> None:
        self._hurry = self._over.is_set()  # a second time: wait for nothing
        self._over.set()

    def _start(self) -> None:
        installation = self._installation
        self._say(f"state and logs are in {installation.state}")
        server = self._watch(children.server_of(installation))
        if not self._wait_for_server(server):
            return
        self._say(f"Prefect answers on {installation.api_url.removesuffix('/api')}")
        self._prepare()
        if self._over.is_set():
            return
        for make in (children.workers_of, children.services_of, children.watches_of):
            for child in make(installation):
                self._watch(child)
        self._phase = "running"
        self._look(changed=True)
        for one in self._watched:
            self._say(f"{one.child.name} is started" + (f", at {one.child.url}" if one.child.url else ""))

    def _watch(self, child: Child) -> Watched:
        made = Watched(child, lambda one: children.spawn(one, self._mark), time.monotonic, self._say)
        self._watched.append(made)
        made.look()
        self._write()
        return made

    def _wait_for_server(self, server: Watched) -> bool:
        """Return whether it answers; False where `up` is to end first."""
        end = time.monotonic() + SERVER_S
        while not self._over.wait(LOOK_S):
            self._look()
            if server.restarts > 2 or time.monotonic() > end:
                raise StoreError(
                    f"The Prefect server does not answer on {server.child.url}. Is the port free "
                    f"([installation] prefect_port), and the folder {self._installation.state} writable? Its log: "
                    f"{server.child.log}"
                )
            if server.is_running and answers(f"{server.child.url}/health"):
                return True
        return False

    def _prepare(self) -> None:
        """Prepare the server from a process of its own: Prefect's client stays in memory else."""
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as failed:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.installation.prepare", *self._prepared_from()],
                env={
                    **children.importable(server_environment(self._installation)),
                    "PREFECT_API_URL": self._installation.api_url,
                    **self._mark,
                },
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=failed,
                start_new_session=True,
            )
            while process.poll() is None:
                if self._over.wait(0.1):
                    process.kill()
                    process.wait()
                    return
                self._look()
            told.seek(0)
            failed.seek(0)
            for line in told.read().decode(errors="replace").splitlines():
                self._say(line)
            if process.returncode:
                reason = failed.read().decode(errors="replace").strip()
                kind = ConfigError if process.returncode == ConfigError.exit_code else StoreError
                raise kind(f"The Prefect server could not be prepared: {reason.removeprefix('error: ')[-4000:]}")

    def _prepared_from(self) -> list[str]:
        if self._installation.file is not None:
            return [str(self._installation.file)]
        file = state.running_folder(self._installation.state) / "homeroom.toml"
        file.write_text("[districts.default]\n", encoding="utf-8")  # without a file nothing is scheduled
        return [str(file)]

    def _look(self, *, changed: bool = False) -> None:
        looked = [one.look() for one in self._watched]
        if changed or any(looked):
            self._write()
        if time.monotonic() - self._rotated > ROTATE_S:
            self._rotated = time.monotonic()
            for file in (self._log, *(one.child.log for one in self._watched)):
                logs.rotate(file)

    def _stop(self) -> None:
        """Services first, as they hold no work; then what runs stages, which may end; Prefect's server last."""
        if not self._watched:
            return
        self._phase = "stopping"
        self._write()
        for kinds, grace_s in (
            (("service",), SERVICE_GRACE_S),
            (("worker", "watch"), self._grace_s),
            (("server",), SERVER_GRACE_S),
        ):
            group = [one for one in self._watched if one.child.kind in kinds and one.is_running]
            if not group:
                continue
            waits = f", for at most {grace_s:.0f} s" if "worker" in kinds else ""
            self._say(f"stopping {', '.join(one.child.name for one in group)}{waits}")
            children.stop(group, lambda grace_s=grace_s: 0.0 if self._hurry else grace_s)  # type: ignore[misc]
            self._write()
        self._say("stopped; schedules stay, and are gone on with after the next `homeroom up`")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """See to it that nothing outlives this process, however it ends."""
        _end_left(self._installation.state, self._say)
        mark = state.new_mark(self._installation.state)
        self._mark = {MARK: str(mark)}
        self._write()
        guard = subprocess.Popen(
            [sys.executable, "-m", "serving.guard", str(os.getpid()), str(mark), str(ORPHAN_GRACE_S)],
            cwd=children.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            end_marked(str(mark))
            guard.kill()
            guard.wait()
            shutil.rmtree(state.running_folder(self._installation.state), ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self._installation.state / "logs" / "up.log"

    def _write(self) -> None:
        state.write_state(self._installation.state, self._phase, self._watched)

    def _say(self, line: str) -> None:
        self._told(line)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(logs.line_of(line))


def down(installation: Installation, say: Callable[[str], None], wait_s: float | None = None) -> bool:
    """End a running installation; return whether there was one.

    Args:
        installation: whose state folder says what runs.
        say: told in one line what happens.
        wait_s: how long `up` may take to end in order; then everything is killed.
    """
    found = state.read_state(installation.state)
    if found is None and not state.marks(installation.state):
        return False
    if found is not None and found.is_running:
        process = psutil.Process(found.pid)
        process.terminate()
        longest = SERVICE_GRACE_S + installation.machine.grace_s + SERVER_GRACE_S + 30.0 if wait_s is None else wait_s
        try:
            process.wait(longest)
        except psutil.TimeoutExpired:
            say(f"`homeroom up` did not end within {longest:.0f} s; killing it and all that it started")
            process.kill()
            process.wait()
    _end_left(installation.state, say)
    return True


def _end_left(folder: Path, say: Callable[[str], None]) -> None:
    """End what an `up` left that was killed; its guard may be at it as well."""
    for mark in state.marks(folder):
        say("an earlier `homeroom up` did not end by itself; ending what is left of it")
        end_marked(str(mark), ORPHAN_GRACE_S)
    shutil.rmtree(state.running_folder(folder), ignore_errors=True)


@contextlib.contextmanager
def _signals(end: Callable[[], None]) -> Iterator[None]:
    """Let the signals that end a process call `end`, and do afterwards what they did before."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # `nohup` has SIGHUP ignored, and that stays
            signal.signal(number, lambda *_: end())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
