"""Kills with Prefect: a killed flow is Crashed within 70 s; a killed server stops no run."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType

from components._testing.kills import kill_at
from components.store import Store
from components.upkeep import leases
from flows.guard import SERVER
from flows.operations import run_request
from flows.request import RunRequest
from flows.settings import Settings
from tests.conftest import Released

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.multiprocess,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ROOT = Path(__file__).resolve().parents[2]
CRASHED_WITHIN_S = 70.0
"""What `homeroom doctor` and the docs promise."""
SKIPPED_STAGES = ("ingest", "preprocess", "train", "export")
"""What the copied store has; evaluate, fairness and deploy run."""


class Server:
    """A Prefect server of its own, on this machine alone."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PYTHONPATH": str(ROOT),
        }
        self.environment.pop("PREFECT_API_URL", None)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self, seconds: float = 240.0) -> None:
        """Wait until it answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                with urlopen(f"{self.url}/health", timeout=5):
                    return
            except (URLError, OSError):
                time.sleep(0.2)
        pytest.fail("the Prefect server did not start")

    def kill(self) -> None:
        assert self._process is not None
        for process in [*psutil.Process(self._process.pid).children(recursive=True), self._process]:
            process.kill()
        self._process.wait()

    def run(self, identity: str) -> FlowRun:
        with SyncPrefectClient(self.url) as client:
            return client.read_flow_run(UUID(identity))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("prefect"))
    found.start()
    try:
        found.wait()
        yield found
    finally:
        found.kill()


class Place:
    """A copy of the finished run's store, and a request that has three stages left to do there."""

    def __init__(self, released: Released, folder: Path, resamples: int) -> None:
        shutil.copytree(released.settings.store, folder / "store")
        self.settings = Settings(store=str(folder / "store"), cache=folder / "cache", keys=released.settings.keys)
        asked = released.summary.request
        overrides = (*asked.overrides, f"evaluate.resamples={resamples}", "deploy.max_auc_drop=0.5")
        self.request = RunRequest(application=asked.application, data=asked.data, overrides=overrides)
        self.store: Store = self.settings.open_store()

    @property
    def command(self) -> list[str]:
        out = [sys.executable, "-m", "flows", "run", self.request.application, "--data", *self.request.data]
        for text in self.request.overrides:
            out += ["--set", text]
        return out

    def environment(self, base: dict[str, str]) -> dict[str, str]:
        return {**base, "HOMEROOM_STORE": self.settings.store, "HOMEROOM_KEYS": str(self.settings.keys)}

    def digests(self) -> dict[str, str]:
        record = self.store.read_record(self.store.list_records("runs")[-1])
        assert record["request"] == self.request.to_json(), "the run left no record"
        return {stage: artifact["sha256"] for stage, artifact in record["artifacts"].items()}


def undisturbed_digests(released: Released, folder: Path, resamples: int) -> dict[str, str]:
    """Run the same without Prefect and without a kill, in a store of its own."""
    place = Place(released, folder, resamples)
    run_request(place.request, place.settings)
    return place.digests()


def said_at(process: "subprocess.Popen[str]", words: str) -> list[str]:
    """Read what a process says until a line holds `words`."""
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return said
    pytest.fail("".join(said))


def start(place: Place, base: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        place.command,
        cwd=ROOT,
        env=place.environment(base),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.soak
def test_a_killed_flow_is_crashed_within_70_s_and_gone_on_with(
    server: Server, released: Released, tmp_path: Path
) -> None:
    base = {**server.environment, "PREFECT_API_URL": server.url}
    doctor = [sys.executable, "-m", "flows", "doctor"]
    for arguments, words in (
        ([], "homeroom doctor --fix"),
        (["--fix"], "marked Crashed within 70 s (just installed)"),
        ([], "marked Crashed within 70 s"),
    ):
        shown = subprocess.run([*doctor, *arguments], cwd=ROOT, env=base, capture_output=True, text=True, check=False)
        assert words in shown.stdout, shown.stdout + shown.stderr

    place = Place(released, tmp_path / "a", 51)
    killed = kill_at(place.command, "predicting", environment=place.environment(base), folder=ROOT)
    killed_at = datetime.now(UTC)
    assert killed.was_killed, killed.output
    assert not killed.left_behind
    [dead] = leases.dead(place.store)
    assert dead.stage == "evaluate"
    state = server.run(dead.flow_run).state
    assert state is not None
    assert state.type == StateType.RUNNING, "Prefect cannot know it yet"

    expected = undisturbed_digests(released, tmp_path / "whole", 51)
    while (datetime.now(UTC) - killed_at).total_seconds() < CRASHED_WITHIN_S:
        state = server.run(dead.flow_run).state
        if state is not None and state.is_final():
            break
        time.sleep(0.5)
    assert state is not None
    print(f"\nCrashed after {(state.timestamp - killed_at).total_seconds():.1f} s")
    assert state.type == StateType.CRASHED
    assert "no heartbeat" in (state.message or "")

    again = subprocess.run(
        place.command, cwd=ROOT, env=place.environment(base), capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert f"run {dead.run} of this request died in stage evaluate; going on from there" in again.stderr
    for stage in SKIPPED_STAGES:
        assert f"{stage:<11} skipped" in again.stderr
    assert place.digests() == expected
    assert leases.read_leases(place.store) == []


@pytest.mark.soak
def test_a_run_whose_server_is_killed_goes_on_and_reports_when_it_is_back(
    server: Server, released: Released, tmp_path: Path
) -> None:
    place = Place(released, tmp_path / "b", 52)
    with start(place, {**server.environment, "PREFECT_API_URL": server.url}) as process:
        said = said_at(process, "predicting")
        [lease] = leases.running(place.store)
        server.kill()
        server.start()
        assert process.stderr is not None
        said += list(process.stderr)
    assert process.returncode == 0, "".join(said)
    server.wait()
    state = server.run(lease.flow_run).state
    assert state is not None
    assert state.type == StateType.COMPLETED
    assert place.digests() == undisturbed_digests(released, tmp_path / "whole", 52)


@pytest.mark.soak
def test_with_a_temporary_server_the_run_outlives_it(released: Released, tmp_path: Path) -> None:
    base = Server(tmp_path / "prefect").environment
    place = Place(released, tmp_path / "c", 53)
    with start(place, base) as process:
        said = said_at(process, "predicting")
        [temporary] = [
            child for child in psutil.Process(process.pid).children() if any(SERVER in word for word in child.cmdline())
        ]
        temporary.kill()
        assert process.stderr is not None
        said += list(process.stderr)
    assert process.returncode == 0, "".join(said)
    assert any("Prefect's server went away; the run is finished" in line for line in said)
    assert not any("Traceback" in line for line in said)
    assert place.digests() == undisturbed_digests(released, tmp_path / "whole", 53)


@pytest.mark.soak
def test_a_temporary_server_does_not_outlive_the_run(released: Released, tmp_path: Path) -> None:
    base = Server(tmp_path / "prefect").environment
    other = Place(released, tmp_path / "d", 54)
    killed = kill_at(other.command, "predicting", environment=other.environment(base), folder=ROOT)
    assert killed.was_killed
    assert any(SERVER in child for child in killed.children)
    assert not killed.left_behind, "the temporary server stayed"
    again = subprocess.run(
        other.command, cwd=ROOT, env=other.environment(base), capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "marked 1 run(s) Crashed in Prefect" in again.stderr
