"""The processes of an installation: their commands, how they are started again, and how they are stopped."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from flows.cli.serve import serve
from flows.cli.watch import watch
from flows.installation import children
from flows.installation.children import (
    Child,
    Watched,
    server_of,
    services_of,
    spawn,
    stop,
    watches_of,
    workers_of,
)
from flows.installation.file import read_plan
from flows.installation.places import Installation, resolve
from flows.installation.probes import Patience

FILE = """
[installation]
state = "state"
[districts.north]
memory_gib = 8.0
runs = 2
[districts.north.applications.knowledge_tracing]
port = 3000
access_keys = "north.json"
host = "0.0.0.0"
[districts.south.applications.short_answer]
port = 3001
watch = true
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    (tmp_path / "homeroom.toml").write_text(FILE)
    (tmp_path / "north.json").write_text("{}")
    return resolve(read_plan(tmp_path / "homeroom.toml"), tmp_path / "homeroom.toml")


def test_the_commands(installation: Installation, tmp_path: Path) -> None:
    server = server_of(installation)
    assert server.command[1:] == ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", "4200")
    north, south = workers_of(installation)
    assert north.command[1:10] == (
        *("-m", "prefect", "worker", "start", "--pool", "homeroom-north", "--type", "process"),
        "--name",
    )
    assert north.command[north.command.index("--limit") + 1] == "2"
    assert (north.memory_gib, south.memory_gib) == (8.0, None)
    first, second = services_of(installation)
    assert first.command[1:] == ("-m", "flows", "serve", "knowledge_tracing", "--host", "0.0.0.0", "--port", "3000")
    assert (first.url, second.url) == ("http://127.0.0.1:3000", "http://127.0.0.1:3001")
    assert first.environment["HOMEROOM_SERVE_KEYS"] == str(tmp_path / "north.json")
    assert "HOMEROOM_SERVE_KEYS" not in second.environment
    folders = {one.environment["HOMEROOM_SERVE_STATUS"] for one in (first, second)}
    assert folders == {str(installation.state / "status" / one.name) for one in (first, second)}
    assert not any(name.startswith("PREFECT_") for name in first.environment)
    assert {one.patience for one in (first, second)} == {Patience(every_s=10.0, misses=3, start_s=300.0)}
    options = {option for parameter in serve.params for option in parameter.opts}
    assert {"--host", "--port"} <= options


def test_a_watch_has_the_service_s_status_folder_and_the_rights_of_a_run(installation: Installation) -> None:
    [watching] = watches_of(installation)
    _, service = services_of(installation)
    _, worker = workers_of(installation)
    status = service.environment["HOMEROOM_SERVE_STATUS"]
    assert watching.command[1:] == ("-m", "flows", "watch", "short_answer", "--status", status)
    assert (watching.name, watching.kind, watching.patience) == ("south-short_answer-watch", "watch", None)
    assert watching.environment == worker.environment
    watch.make_context("watch", list(watching.command[4:]))  # refuses options that there are not


def test_nothing_is_probed_where_the_file_says_so(installation: Installation) -> None:
    quiet = replace(installation, machine=replace(installation.machine, probe_misses=0))
    assert {one.patience for one in services_of(quiet)} == {None}


class Fake:
    """A process that ends when it is told to."""

    def __init__(self) -> None:
        self.pid = 0
        self.status: int | None = None

    def poll(self) -> int | None:
        return self.status


def test_what_dies_is_started_again_later_each_time_and_soon_after_a_good_start(tmp_path: Path) -> None:
    now, said, processes = [0.0], list[str](), list[Fake]()

    def start(child: Child) -> Fake:
        processes.append(Fake())
        return processes[-1]

    child = Child(name="north-worker", kind="worker", command=("x",), environment={}, log=tmp_path / "log")
    watched = Watched(child, start, lambda: now[0], said.append)  # type: ignore[arg-type]  # a fake process
    waits = []
    for _ in range(8):
        while not watched.is_running:
            before = len(processes)
            watched.look()
            now[0] += 0.0 if len(processes) > before else 0.5
        processes[-1].status = 3
        died = now[0]
        assert watched.look()
        while not watched.is_running:
            now[0] += 0.5
            watched.look()
        waits.append(now[0] - died)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert watched.restarts == 8
    assert said[0].startswith("north-worker ended with status 3 after 0 s; starting it again in 1 s")
    now[0] += children.STEADY_S
    processes[-1].status = 0
    watched.look()
    now[0] += 1.0
    assert watched.look(), "the waiting time begins anew"


def child_of(code: str, folder: Path, **more: float) -> Child:
    command = (sys.executable, "-c", code)
    return Child(
        name="one", kind="worker", command=command, environment=dict(os.environ), log=folder / "logs" / "one.log",
        memory_gib=more.get("memory_gib"),
    )  # fmt: skip


def started_child(code: str, folder: Path, **more: float) -> "Watched":
    watched = Watched(child_of(code, folder, **more), lambda one: spawn(one, {}), time.monotonic, print)
    watched.look()
    end = time.monotonic() + 30
    while "ready" not in (folder / "logs" / "one.log").read_text() and time.monotonic() < end:
        time.sleep(0.02)
    return watched


@pytest.mark.multiprocess
def test_stages_may_end_within_the_grace_time(tmp_path: Path) -> None:
    code = (
        "import signal, time, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), print('ended'), sys.exit(0)))\n"
        "print('ready', flush=True)\ntime.sleep(60)"
    )
    watched = started_child(code, tmp_path)
    stop([watched], lambda: 20.0)
    assert (tmp_path / "logs" / "one.log").read_text().split() == ["ready", "ended"]
    assert not watched.is_running


@pytest.mark.multiprocess
def test_what_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "TERMINATED_S", 0.3)
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "below = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)'], "
        "start_new_session=True, stdout=subprocess.PIPE)\n"
        "below.stdout.readline()\nprint('ready', below.pid, flush=True)\ntime.sleep(60)"
    )
    watched = started_child(code, tmp_path)
    process = watched.process
    assert process is not None
    below = int((tmp_path / "logs" / "one.log").read_text().split()[1])
    stop([watched], lambda: 0.2)
    assert process.returncode == -9
    assert not psutil.pid_exists(below) or psutil.Process(below).status() == psutil.STATUS_ZOMBIE


@pytest.mark.multiprocess
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of another process are Linux's")
def test_the_memory_limit_is_that_of_what_a_worker_starts(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\ntime.sleep(0.5)\n"
        "take = 'import resource; print(resource.getrlimit(resource.RLIMIT_DATA)[0]); bytearray(3 << 29)'\n"
        "done = subprocess.run([sys.executable, '-c', take], capture_output=True, text=True)\n"
        "print(done.stdout, 'MemoryError' in done.stderr, 'ready', flush=True)"
    )
    watched = started_child(code, tmp_path, memory_gib=1.0)
    stop([watched], lambda: 10.0)
    assert (tmp_path / "logs" / "one.log").read_text().split() == [str(2**30), "True", "ready"]
