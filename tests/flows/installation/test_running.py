"""What runs: the state file, the lock, the logs, and what `down` and `status` say."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.errors import ConfigError
from flows.__main__ import main
from flows.installation import state
from flows.installation.checks import installation_checks
from flows.installation.children import Child, Watched
from flows.installation.file import MachinePlan
from flows.installation.logs import rotate
from flows.installation.places import Installation
from flows.installation.probes import answers
from flows.installation.running import Up, down
from serving.guard import MARK
from serving.run import free_port
from tests.clock import set_clock

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(machine=MachinePlan(prefect_port=9), state=tmp_path / "state", districts=())


def test_a_log_is_moved_on_when_it_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "up.log"
    assert not rotate(path), "there is none yet"
    with path.open("a") as stream:  # a process that keeps it open
        for number in range(4):
            stream.write(f"{number}" * 10)
            stream.flush()
            assert rotate(path, most_bytes=10, kept=2)
        assert not rotate(path, most_bytes=10, kept=2)
        stream.write("goes on")
    assert path.read_text() == "goes on"
    assert [(tmp_path / f"up.log.{n}").read_text() for n in (1, 2)] == ["3" * 10, "2" * 10]
    assert not (tmp_path / "up.log.3").exists()


def test_the_state_is_written_and_read(installation: Installation, tmp_path: Path) -> None:
    child = Child(name="n", kind="service", command=("x",), environment={}, log=tmp_path / "n.log", url="http://h")
    watched = Watched(child, lambda one: None, time.monotonic, print)  # type: ignore[arg-type, return-value]
    state.write_state(installation.state, "running", [watched])
    found = state.read_state(installation.state)
    assert found is not None
    assert (found.pid, found.phase, found.is_running) == (os.getpid(), "running", True)
    [shown] = found.children
    assert (shown.name, shown.pid, shown.url, shown.is_running) == ("n", None, "http://h", False)
    (state.running_folder(installation.state) / "processes.json").write_text("{")
    assert state.read_state(installation.state) is None


@pytest.mark.parametrize("step_s", [-3600.0, 1.0])
def test_what_runs_is_known_when_the_clock_was_set(
    step_s: float, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (sys.executable, "-c", "input()")
    child = Child(name="n", kind="service", command=command, environment={}, log=tmp_path / "n.log", url="")
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        watched = Watched(child, lambda one: process, time.monotonic, print)
        watched.process = process
        state.write_state(installation.state, "running", [watched])
        set_clock(monkeypatch, step_s)
        found = state.read_state(installation.state)
        assert found is not None
        assert (found.is_running, [one.is_running for one in found.children]) == (True, [True])
        process.kill()
        process.wait()
        assert [one.is_running for one in found.children] == [False]


def test_the_file_of_an_older_version_is_read(installation: Installation) -> None:
    folder = state.running_folder(installation.state)
    folder.mkdir(parents=True)
    mine = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    child = {**mine, "name": "n", "kind": "service", "restarts": 0, "url": "", "log": "n.log"}
    (folder / "processes.json").write_text(json.dumps({"format": 1, **mine, "phase": "running", "children": [child]}))
    found = state.read_state(installation.state)
    assert found is not None
    assert (found.is_running, found.children[0].is_running) == (True, True)
    assert found.children[0].start.utc_s() == mine["started"]


def test_one_up_holds_an_installation(installation: Installation) -> None:
    with (
        state.only_one(installation.state),
        pytest.raises(ConfigError, match="Another `homeroom up` holds"),
        state.only_one(installation.state),
    ):
        pass
    with state.only_one(installation.state):
        pass


def test_down_ends_what_an_up_that_was_killed_left(installation: Installation) -> None:
    assert not down(installation, print), "nothing runs"
    mark = state.new_mark(installation.state)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={MARK: str(mark)}) as left:
        # The file names a living process that is another one: ours must not be told to end.
        value = {"format": 1, "pid": os.getpid(), "started": 1.0, "phase": "running", "children": []}
        (mark.parent / "processes.json").write_text(json.dumps(value))
        assert down(installation, print)
        left.wait(10)
    assert not mark.parent.exists()


def test_an_up_without_a_server_says_so_and_leaves_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Child(
        name="prefect", kind="server", command=(sys.executable, "-c", "raise SystemExit(3)"),
        environment=dict(os.environ), log=installation.state / "logs" / "prefect.log", url="http://127.0.0.1:9",
    )  # fmt: skip
    monkeypatch.setattr("flows.installation.children.server_of", lambda _: broken)
    monkeypatch.setattr("flows.installation.children.FIRST_WAIT_S", 0.01)
    said: list[str] = []
    with pytest.raises(OSError, match="The Prefect server does not answer"):
        Up(installation, said.append).run()
    assert any("prefect ended with status 3" in line for line in said)
    assert not state.running_folder(installation.state).exists()
    assert "prefect ended with status 3" in (installation.state / "logs" / "up.log").read_text()
    with state.only_one(installation.state):
        pass


def test_nobody_answers() -> None:
    assert not answers("http://127.0.0.1:9/readyz")


@pytest.mark.parametrize("words", [["status"], ["up", "--status"]])
def test_status_of_nothing(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "homeroom.toml"
    file.write_text('[installation]\nstate = "state"\n[districts.north]\n')
    with pytest.raises(SystemExit) as ended:
        main([*words, "--file", str(file)])
    assert ended.value.code == 1
    assert f"Nothing runs of the installation in {tmp_path / 'state'}" in capsys.readouterr().out


def test_down_of_nothing_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["down"])
    assert ended.value.code == 0
    assert "Nothing runs" in capsys.readouterr().err


def test_doctor_looks_at_the_installation(tmp_path: Path) -> None:
    file = tmp_path / "homeroom.toml"
    file.write_text('[installation]\nstate = "state"\n[districts.north]\n[districts.south]\n')
    keys = tmp_path / "state" / "districts" / "south" / "keys"
    keys.mkdir(parents=True)
    for folder in (tmp_path / "state", keys):
        folder.chmod(0o700)
    assert [check.ok for check in installation_checks(file)] == [True, True, True]
    keys.chmod(0o750)
    dead = Watched(
        Child(name="n-worker", kind="worker", command=("x",), environment={}, log=tmp_path / "log"),
        lambda _: None,  # type: ignore[arg-type, return-value]  # never started
        time.monotonic,
        print,
    )
    dead.restarts = 4
    state.write_state(tmp_path / "state", "running", [dead])
    found = list(installation_checks(file))
    assert [check.ok for check in found] == [True, False, False]
    assert found[1].remedy == f"chmod 700 {keys}"
    assert "n-worker (4 times)" in found[2].finding
    file.write_text("[districts.north]\nstores = 'x'\n")
    [check] = installation_checks(file)
    assert not check.ok
    assert "did you mean 'store'" in check.finding


UP = """
import os, sys
from pathlib import Path
from flows.installation import children, running
from flows.installation.file import MachinePlan
from flows.installation.places import Installation

folder, port = Path(sys.argv[1]), int(sys.argv[2])
ANSWERS = '''
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
'''
STAGE = '''
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
'''

def child(name, kind, code, url=""):
    return children.Child(
        name=name, kind=kind, command=(sys.executable, "-c", code, str(port)), environment=dict(os.environ),
        log=folder / "logs" / f"{name}.log", url=url,
    )

children.server_of = lambda _: child("prefect", "server", ANSWERS, f"http://127.0.0.1:{port}/api")
children.workers_of = lambda _: [child("north-worker", "worker", STAGE)]
children.services_of = lambda _: [child("north-service", "service", STAGE, f"http://127.0.0.1:{port}")]
running.Up._prepare = lambda self: None
running.Up(Installation(machine=MachinePlan(), state=folder, districts=()), print).run()
"""


def start_up(installation: Installation) -> "tuple[subprocess.Popen[bytes], state.Running]":
    words = [sys.executable, "-c", UP, str(installation.state), str(free_port())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        found = state.read_state(installation.state)
        if found is not None and found.pid == process.pid and found.phase == "running":
            return process, found
        time.sleep(0.1)
    process.kill()
    pytest.fail((installation.state / "logs" / "up.log").read_text())


def marked(installation: Installation) -> list[int]:
    """Return the processes that carry the installation's mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK, "").startswith(str(installation.state)):
                found.append(process.pid)
    return found


@pytest.mark.multiprocess
def test_down_stops_in_order_and_leaves_no_process(installation: Installation) -> None:
    process, found = start_up(installation)
    with process:
        assert [(one.name, one.is_running) for one in found.children] == [
            ("prefect", True), ("north-worker", True), ("north-service", True),
        ]  # fmt: skip
        assert len(marked(installation)) >= 3
        assert down(installation, print)
        assert process.wait(30) == 0
    assert marked(installation) == []
    log = (installation.state / "logs" / "up.log").read_text()
    stops = [log.index(f"stopping {name}") for name in ("north-service", "north-worker", "prefect")]
    assert stops == sorted(stops)


@pytest.mark.multiprocess
def test_an_up_that_is_killed_takes_everything_with_it_and_starts_anew(installation: Installation) -> None:
    process, _ = start_up(installation)
    with process:
        assert len(marked(installation)) >= 3
        process.kill()
    end = time.monotonic() + 30
    while (marked(installation) or state.marks(installation.state)) and time.monotonic() < end:
        time.sleep(0.1)
    assert marked(installation) == []
    process, found = start_up(installation)
    with process:
        assert len(found.children) == 3
        assert down(installation, print)
    assert marked(installation) == []
