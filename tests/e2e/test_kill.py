"""Killed runs: at any time of a run, inside stages and between, the next goes on and ends with the same bytes."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from components._testing.kills import Killed, kill_after, kill_process
from components.simulate.config import SimulateConfig
from components.simulate.stage import simulate
from components.stage import Runner
from components.store import Store
from components.upkeep import leases
from flows.request import RunRequest
from flows.settings import Settings
from tests.conftest import Released
from tests.forked import ROOT, Forks, forks

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.multiprocess]

CHAIN = 5
"""Kills in a row on one store, before its run may end."""
SKIPPED = re.compile(r"^(\w+) +skipped:", re.MULTILINE)
RAN = re.compile(r"^(\w+) +[\d.]+ s +\(ran:", re.MULTILINE)
EPOCH = re.compile(r"epoch (\d+) of at most")


def arguments_of(request: RunRequest) -> list[str]:
    """Return the command line of a request, without Prefect."""
    out = ["run", request.application, "--no-prefect"]
    for path in request.data:
        out += ["--data", path]
    for text in request.overrides:
        out += ["--set", text]
    return out


def environment_of(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "HOMEROOM_STORE": settings.store,
        "HOMEROOM_KEYS": str(settings.keys),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",  # what was printed before the kill is seen
    }


def digests(summary: dict[str, Any]) -> dict[str, str]:
    return {stage: artifact["sha256"] for stage, artifact in summary["artifacts"].items()}


def settings_in(folder: Path, keys: Path) -> Settings:
    return Settings(store=str(folder / "store"), cache=folder / "cache", keys=keys)


def stage_records(store: Store) -> dict[str, str]:
    """Return stage -> when it finished. A stage that ran again would have finished later."""
    return {path.split("/")[2]: store.read_record(path)["finished_utc"] for path in store.list_records("stages")}


def epochs_saved(store: Store) -> int:
    """Return how many epochs the last checkpoint of an unfinished training holds."""
    assert store.local_root is not None
    found = list(store.local_root.glob("jobs/train-*/checkpoints/last.ckpt"))
    if not found:
        return 0
    checkpoint: dict[str, Any] = torch.load(found[0], weights_only=True)
    return int(checkpoint["epoch"]) + 1


@dataclass
class Undisturbed:
    """A run that nobody killed, and what it ended with."""

    request: RunRequest
    keys: Path
    digests: dict[str, str]
    weights: dict[str, torch.Tensor]
    seconds: float
    """Wall time of its process."""
    stage_seconds: dict[str, float]


@dataclass
class Tally:
    """Where kills fell."""

    where: Counter[str] = field(default_factory=Counter)
    children: int = 0
    resumed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def show(self) -> str:
        fell = ", ".join(f"{place} {count}" for place, count in self.where.most_common())
        return (
            f"{self.where.total()} kills: {fell}; {self.resumed} trainings had a checkpoint to go on from; "
            f"{self.children} children died with their parent"
        )


def weights_of(store: Store) -> dict[str, torch.Tensor]:
    assert store.local_root is not None
    [path] = store.local_root.glob("artifacts/*/model.ckpt")
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def latest_summary(store: Store) -> dict[str, Any]:
    summary: dict[str, Any] = store.read_record(store.list_records("runs")[-1])
    return summary


@pytest.fixture(scope="module")
def processes() -> Iterator[Forks]:
    with forks("tests.e2e.preloaded") as found:
        yield found


@pytest.fixture(scope="module")
def undisturbed(released: Released, processes: Forks, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Run a small district once, as a process like those that are killed, and measure it."""
    home = tmp_path_factory.mktemp("undisturbed")
    keys = released.settings.keys
    settings = settings_in(home, keys)
    store = settings.open_store()
    logs = home / "district.parquet"
    district = Runner(Store(home / "simulated"))(simulate, SimulateConfig(students=80, seed=3))
    shutil.copyfile(home / "simulated" / "artifacts" / district.sha256 / "answers.parquet", logs)
    request = RunRequest(
        application="knowledge_tracing",
        data=(str(logs),),
        overrides=("train.max_epochs=12", "train.patience=0", "evaluate.resamples=20", "fairness.resamples=20"),
    )
    output = home / "output.txt"
    clock = time.monotonic()
    pid = processes.start(output, arguments=list(arguments_of(request)), environment=dict(environment_of(settings)))
    assert processes.wait(pid, 240) == 0, output.read_text()
    seconds = time.monotonic() - clock
    summary = latest_summary(store)
    found = {stage["stage"]: stage["seconds"] for stage in summary["stages"]}
    print(f"\nundisturbed: {seconds:.1f} s, of these {found}")
    return Undisturbed(request, keys, digests(summary), weights_of(store), seconds, found)


def check_kill(killed: Killed, store: Store, tally: Tally) -> None:
    """Look at what one kill left, and note where it fell."""
    assert killed.was_killed
    assert not killed.left_behind
    assert leases.running(store) == [], "a killed run must be seen at once"
    dead = leases.dead(store)
    where = "before or after the run" if not dead else dead[-1].stage or "between stages"
    with tally.lock:
        tally.where[where] += 1
        tally.children += len(killed.children)
        tally.resumed += where == "train" and epochs_saved(store) > 0


def check_next(before: dict[str, str], epochs: int, output: str, store: Store) -> None:
    """Look at what the run after a kill did: nothing again that had finished, no epoch that had been saved."""
    after = stage_records(store)
    for stage, finished in before.items():
        assert after[stage] == finished, f"{stage} had finished, and ran again"
    assert not set(RAN.findall(output)) & set(before)
    if "train" not in before and (trained := [int(n) for n in EPOCH.findall(output)]):
        assert trained[0] == epochs + 1, f"{epochs} epochs were saved; training went on with epoch {trained[0]}"


def check_end(output: str, finished: dict[str, str], store: Store, undisturbed: Undisturbed) -> None:
    """Look at what the last run of a chain ended with."""
    assert set(finished) <= set(SKIPPED.findall(output))
    summary = latest_summary(store)
    assert digests(summary) == undisturbed.digests
    weights = weights_of(store)
    assert weights.keys() == undisturbed.weights.keys()
    assert all(torch.equal(weights[name], undisturbed.weights[name]) for name in weights)
    assert leases.read_leases(store) == [], "what died has been gone on with"
    assert summary["release"]["promoted"]
    assert len(store.list_records("releases/knowledge_tracing/log")) == 1


@dataclass(frozen=True)
class Starter:
    """Starts runs for several threads."""

    processes: Forks
    asking: threading.Lock = field(default_factory=threading.Lock)

    def start(self, request: RunRequest, settings: Settings, output: Path) -> "Started":
        with self.asking:
            pid = self.processes.start(
                output, arguments=list(arguments_of(request)), environment=dict(environment_of(settings))
            )
        return Started(self, pid, output, time.monotonic())


@dataclass(frozen=True)
class Started:
    """A run that was started as a process."""

    starter: Starter
    pid: int
    output: Path
    clock: float

    def poll(self) -> int | None:
        with self.starter.asking:
            return self.starter.processes.poll(self.pid)

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace") if self.output.exists() else ""

    def wait(self, until: Callable[["Started"], bool] = lambda run: False) -> int | None:
        """Wait for the end, whose exit code is returned, or until something is so."""
        end = time.monotonic() + 600
        while (code := self.poll()) is None and not until(self) and time.monotonic() < end:
            time.sleep(0.01)
        return code

    def kill(self) -> Killed:
        return kill_process(self.pid, self.poll, started=self.clock, output=self.said)


Point = Callable[[float], Callable[[Started], bool]]
"""When to kill: given the seconds that are left of an undisturbed run, what says that it is time."""


def drawn(random: Random) -> Point:
    """Draw a time uniformly over what is left."""

    def point(left_s: float) -> Callable[[Started], bool]:
        after_s = random.uniform(0.0, left_s)
        return lambda run: time.monotonic() >= run.clock + after_s

    return point


def said(pattern: str) -> Point:
    """Wait until the run says something."""
    return lambda left_s: lambda run: re.search(pattern, run.said(), re.MULTILINE) is not None


def chain(starter: Starter, undisturbed: Undisturbed, folder: Path, points: Sequence[Point], tally: Tally) -> None:
    """Kill a run, and the runs that go on with it, at each of the points; then let the last one end."""
    settings = settings_in(folder, undisturbed.keys)
    store = settings.open_store()
    folder.mkdir()
    done = 0
    while True:
        finished, epochs = stage_records(store), epochs_saved(store)
        left_s = undisturbed.seconds - sum(undisturbed.stage_seconds[stage] for stage in finished)
        run = starter.start(undisturbed.request, settings, folder / f"output{done}.txt")
        code = run.wait(points[done](left_s)) if done < len(points) else run.wait()
        if code is None:
            killed = run.kill()
            if killed.was_killed:
                check_kill(killed, store, tally)
                check_next(finished, epochs, killed.output, store)
                done += 1
                continue
            code = killed.returncode
        assert code == 0, run.said()
        check_next(finished, epochs, run.said(), store)
        check_end(run.said(), finished, store, undisturbed)
        if done == len(points):
            return
        shutil.rmtree(settings.store)  # it was quicker than the draw: the next kills begin with a new store
        run.output.unlink()


@pytest.fixture(scope="module")
def starter(processes: Forks) -> Starter:
    return Starter(processes)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("chains", "kills"), [(1, 2), pytest.param(4, CHAIN, marks=pytest.mark.soak)])
def test_kills_at_any_time(undisturbed: Undisturbed, starter: Starter, tmp_path: Path, chains: int, kills: int) -> None:
    """Runs that are killed again and again; HOMEROOM_KILL_SEED repeats them."""
    seed = int(os.environ.get("HOMEROOM_KILL_SEED", str(time.time_ns() % 1_000_000)))
    print(f"\nHOMEROOM_KILL_SEED={seed}")
    tally = Tally()
    with ThreadPoolExecutor(2) as pool:
        futures = []
        for number in range(chains):
            points = [drawn(Random(f"{seed} {number}"))] * kills
            futures.append(pool.submit(chain, starter, undisturbed, tmp_path / str(number), points, tally))
        for future in futures:
            future.result()
    print(tally.show())
    assert tally.where.total() == chains * kills
    if chains > 1:  # few may all fall between stages
        assert sum(tally.where[stage] for stage in undisturbed.stage_seconds) > 0, "no kill fell inside a stage"


@pytest.mark.timeout(900)
def test_kills_between_stages_and_inside_training(undisturbed: Undisturbed, starter: Starter, tmp_path: Path) -> None:
    tally = Tally()
    points = [said("epoch 3 of"), said("epoch 7 of")]
    chain(starter, undisturbed, tmp_path / "chain", points, tally)
    print(f"\n{tally.show()}")
    assert tally.where.total() == len(points)
    assert tally.where["train"] >= 2
    assert tally.resumed >= 2
    assert tally.children >= 2, "the training processes"


@pytest.mark.timeout(900)
def test_two_runs_at_once_share_the_work(undisturbed: Undisturbed, starter: Starter, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, undisturbed.keys)
    store = settings.open_store()
    runs = [starter.start(undisturbed.request, settings, tmp_path / f"output{n}.txt") for n in range(2)]
    for run in runs:
        assert run.wait() == 0, run.said()
    outputs = [run.said() for run in runs]
    ran = [stage for output in outputs for stage in RAN.findall(output)]
    assert sorted(ran) == sorted(undisturbed.stage_seconds), "each stage once in all"
    assert any("another run is at it; waiting" in output for output in outputs)
    summaries = [store.read_record(path) for path in store.list_records("runs")]
    assert len(summaries) == 2
    assert all(digests(summary) == undisturbed.digests for summary in summaries)
    assert len(store.list_records("releases/knowledge_tracing/log")) == 1
    assert leases.read_leases(store) == []


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_many_kills_at_any_time(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """HOMEROOM_SOAK_KILLS (200) kills of commands started from nothing; HOMEROOM_KILL_SEED repeats them."""
    seed = int(os.environ.get("HOMEROOM_KILL_SEED", "0"))
    kills = int(os.environ.get("HOMEROOM_SOAK_KILLS", "200"))
    print(f"\nHOMEROOM_KILL_SEED={seed}, {kills} kills")
    command = [sys.executable, "-m", "flows", *arguments_of(undisturbed.request)]
    random, tally = Random(seed), Tally()
    clock = time.monotonic()
    first = settings_in(tmp_path / "first", undisturbed.keys)
    subprocess.run(command, cwd=ROOT, env=environment_of(first), check=True, capture_output=True)
    whole_s = time.monotonic() - clock  # longer than the fixture's, by the imports
    number = 0
    while tally.where.total() < kills:
        settings = settings_in(tmp_path / f"{number}", undisturbed.keys)
        store, finished, epochs = settings.open_store(), dict[str, str](), 0
        in_a_row = 0
        while in_a_row < CHAIN and tally.where.total() < kills:
            left_s = whole_s - sum(undisturbed.stage_seconds[stage] for stage in finished)
            environment = environment_of(settings)
            killed = kill_after(command, random.uniform(0.0, max(left_s, 1.0)), environment=environment, folder=ROOT)
            if not killed.was_killed:
                assert killed.returncode == 0, killed.output
                break
            check_kill(killed, store, tally)
            check_next(finished, epochs, killed.output, store)
            finished, epochs = stage_records(store), epochs_saved(store)
            in_a_row += 1
        output = subprocess.run(
            command, cwd=ROOT, env=environment_of(settings), check=True, capture_output=True, text=True
        ).stderr
        check_next(finished, epochs, output, store)
        check_end(output, finished, store, undisturbed)
        print(tally.show())
        shutil.rmtree(tmp_path / f"{number}")
        number += 1
