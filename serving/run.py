"""A server as a child process: `bentoml serve`, awaited until it is ready, and stopped with all its processes.

It never outlives its parent: `serving.guard`, a second child, ends it when the parent is killed.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from serving.access.tls import Tls, opener
from serving.errors import PortTakenError, ServerStartError
from serving.guard import MARK, end_marked
from serving.status import WorkerStatus, read_statuses

TARGET = "serving.service:Service"
TAKEN = "Address already in use"
MOST_PORTS = 5
"""So many free ports are tried: between the look and the server's own start another program may take one."""
POLL_S = 0.1
TAIL_LINES = 30
ORPHAN_GRACE_S = 5.0
"""Most time that requests in flight have once the parent is gone."""
OTHERS_S = ORPHAN_GRACE_S + 5.0
"""How long the workers of a server that was killed may still be there."""


@dataclass(frozen=True, slots=True)
class Following:
    """What a server follows in the place of one release: the pointer log of an application."""

    store: str
    """Folder or URL of the artifact store; the server only reads it."""
    application: str
    cache: Path | None = None
    """Folder for copies of a remote store's releases."""

    def environment(self) -> dict[str, str]:
        """Return the variables by which the service knows."""
        cache = {"HOMEROOM_SERVE_CACHE": str(self.cache)} if self.cache is not None else {}
        return {"HOMEROOM_SERVE_STORE": self.store, "HOMEROOM_SERVE_APPLICATION": self.application, **cache}


@dataclass(slots=True)
class ServerProcess:
    """A running server. Use it as a context manager, or call `stop`."""

    url: str
    """Where it listens, e.g. `http://127.0.0.1:3000`."""
    process: "subprocess.Popen[bytes]"
    guard: "subprocess.Popen[bytes]" = field(repr=False)
    """Ends the server when this process is gone."""
    log_file: Path
    home: Path = field(repr=False)
    """Scratch folder of this server alone, deleted with it. Its name marks all processes of the server."""
    status: Path = field(repr=False)
    """Folder in which its workers say what they do."""
    grace_s: float = 10.0
    tls: Tls | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of the server's log."""
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> int:
        """Stop the server and all its processes; return the exit status (negative: a signal).

        SIGTERM first, so that requests in flight are answered; after `grace_s` seconds, or when the leader has gone,
        SIGKILL to whatever is left.
        """
        if self.is_running:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        end_marked(str(self.home))
        self.guard.kill()
        self.guard.wait()
        shutil.rmtree(self.home, ignore_errors=True)
        return status

    def workers(self) -> list[WorkerStatus]:
        """Return what its workers last said, at most a second ago."""
        return read_statuses(self.status)

    def version(self) -> Any:  # Any: parsed JSON of /v1/version
        """Return what `/v1/version` says, or None while nobody answers."""
        status, body = _get(f"{self.url}/v1/version", self.tls)
        return json.loads(body) if status == 200 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    release: Path | Following,
    port: int | None = None,
    host: str = "127.0.0.1",
    *,
    workers: int = 1,
    key_file: Path | None = None,
    start_s: float = 120.0,
    grace_s: float = 10.0,
    log_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    tls: Tls | None = None,
) -> ServerProcess:
    """Start a server and return it once all its workers are ready to answer.

    One that follows a log without any entry is returned too: it answers 503 until a release is promoted.

    Args:
        release: the folder of the release, which holds `bundle.json`, or what to follow.
        port: where to listen; None (or 0) takes a free one.
        host: the address to listen on; only this machine can reach the default.
        workers: processes, each with a copy of the model.
        key_file: the key that the release must be signed with.
        start_s: how long it may take until `/readyz` says yes.
        grace_s: how long requests in flight have when it is stopped.
        log_file: keeps the server's log; None keeps it only as long as the server runs.
        environment: more variables for the server, e.g. `HOMEROOM_SERVE_ROWS`.
        tls: certificate and key; None serves plain HTTP.

    Raises:
        ServerStartError: it ended, refused the release, or was not ready in time; with the reason and its log's tail.
    """
    if tls is not None:
        tls.check()
    for left in reversed(range(1 if port else MOST_PORTS)):
        try:
            return _start_at(
                release, _usable(port or 0, host), host, workers, key_file, start_s, grace_s, log_file, environment, tls
            )
        except PortTakenError:  # a port that was free is another's by now: who asked for any gets the next
            if not left:
                raise
    raise AssertionError("one try at least")


def _start_at(
    release: Path | Following,
    port: int,
    host: str,
    workers: int,
    key_file: Path | None,
    start_s: float,
    grace_s: float,
    log_file: Path | None,
    environment: Mapping[str, str] | None,
    tls: Tls | None,
) -> ServerProcess:
    if (shared := {**os.environ, **(environment or {})}.get("HOMEROOM_SERVE_STATUS")) is not None:
        _require_own(Path(shared))
    root = Path(__file__).resolve().parent.parent
    home = Path(tempfile.mkdtemp(prefix="homeroom-serve-"))
    log_path = log_file or home / "server.log"
    # Of our own variables only the service's: the server has no business with the secret keys.
    ours = ("HOMEROOM_SERVE_", "HOMEROOM_S3_") if isinstance(release, Following) else ("HOMEROOM_SERVE_",)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HOMEROOM_") or k.startswith(ours)}
    fixed = {} if isinstance(release, Following) else {"HOMEROOM_RELEASE": str(release.resolve())}
    settings = {
        **(release.environment() if isinstance(release, Following) else fixed),
        "HOMEROOM_SERVE_WORKERS": str(workers),
        "HOMEROOM_SERVE_STATUS": inherited.get("HOMEROOM_SERVE_STATUS", str(home / "status")),
        "BENTOML_DO_NOT_TRACK": "True",
        # BentoML keeps its metrics below its home and empties them at start: two servers must not share one.
        "BENTOML_HOME": str(home),
        "HOMEROOM_SERVE_SESSION_KEY": secrets.token_hex(32),
        **({"HOMEROOM_SERVE_LIMITS": str(home / "limits")} if workers > 1 else {}),  # one worker has nobody to ask
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
        **({"HOMEROOM_RELEASE_KEY": str(key_file.resolve())} if key_file is not None else {}),
        **(environment or {}),
        MARK: str(home),
    }
    command = [sys.executable, "-m", "serving.launch", "serve", TARGET, "--host", host, "--port", str(port)]
    command += ["--working-dir", str(root), "--timeout-graceful-shutdown", str(max(1, int(grace_s)))]
    command += [] if tls is None else tls.arguments()
    watching = [sys.executable, "-m", "serving.guard", str(os.getpid()), str(home), str(min(grace_s, ORPHAN_GRACE_S))]
    with log_path.open("ab") as stream:

        def spawn(command: list[str], variables: Mapping[str, str]) -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                command,
                env={**inherited, **variables},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        guard = spawn(watching, {"PYTHONPATH": settings["PYTHONPATH"]})
        process = spawn(command, settings)
    server = ServerProcess(
        url=f"{'http' if tls is None else 'https'}://{_reachable(host)}:{port}",
        process=process,
        guard=guard,
        log_file=log_path,
        home=home,
        status=Path(settings["HOMEROOM_SERVE_STATUS"]),
        grace_s=grace_s,
        tls=tls,
    )
    try:
        _wait(server, start_s, workers)
    except BaseException:
        server.stop()
        raise
    return server


def _require_own(status: Path) -> None:
    """Make sure that no other server's workers write into a status folder: one would be judged by the other's counts.

    Raises:
        ServerStartError: they do.
    """
    end = time.monotonic() + OTHERS_S
    while others := read_statuses(status):
        if time.monotonic() >= end:
            raise ServerStartError(
                f"HOMEROOM_SERVE_STATUS names {status}, where the workers of another server say what they do (process "
                f"{others[0].pid}, {others[0].release or 'without a release'}). Expected a folder of this server "
                "alone; name another, or stop that server."
            )
        time.sleep(POLL_S)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on right now."""
    return _usable(0, host)


def _usable(port: int, host: str) -> int:
    """Return `port`, or a free one for 0. Without this check another server would answer in the place of the new one.

    Raises:
        ServerStartError: something listens there, or this process may not.
    """
    with socket.socket() as probe:
        if port:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerStartError(
                f"Port {port} of {host} cannot be listened on: {error.strerror or error}. Expected an address of this "
                "machine and a port that nothing listens on. Stop what listens there, or name another port; --port 0 "
                "(port=None in Python) takes a free one."
            ) from error
        found: int = probe.getsockname()[1]
    return found


def _wait(server: ServerProcess, start_s: float, workers: int) -> None:
    end = time.monotonic() + start_s
    while time.monotonic() < end:
        if not server.is_running:
            tail = server.log_tail()
            raise (PortTakenError if TAKEN in tail else ServerStartError)(
                f"The server ended with status {server.process.returncode} before it was ready. Is the port free, and "
                f"bentoml installed? The end of its log:\n{tail}"
            )
        status, body = _get(f"{server.url}/readyz", server.tls)
        said = server.workers()
        is_empty = bool(said) and all(one.entry == 0 and one.release is None for one in said)
        if len(said) >= workers and (is_empty or (status == 200 and all(one.ready for one in said))):
            return
        if status == 503 and not is_empty:  # it replayed golden requests before: it will not change its mind at once
            raise ServerStartError(f"The server refuses to answer with this release: {json.loads(body)['reason']}")
        time.sleep(POLL_S)
    raise ServerStartError(
        f"The server was not ready after {start_s:g} s; give it longer with start_s=, or look at its log, which ends:\n"
        f"{server.log_tail()}"
    )


def _get(url: str, tls: Tls | None = None, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """Return status and body, or (0, b"") while nobody answers. Proxies of the environment are not asked."""
    try:
        with opener(tls).open(url, timeout=timeout_s) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host
