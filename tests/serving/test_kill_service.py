"""The whole service is killed during swaps while clients ask, and started again: it answers by the log alone."""

import json
import random
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from components.launch.processes import descendants
from components.store import Store
from serving.guard import _marked
from serving.registry import PointerLog, Slot, faults_of
from serving.run import Following, ServerProcess, free_port, start
from serving.supervise.waiting import version_of
from tests.serving.bundles import probability_of, request_of
from tests.serving.following import shifted_probability, wait_for
from tests.serving.releasing import APPLICATION, plain, release_of, say, shifted

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.multiprocess]
STEPS = 3
BODY = json.dumps(request_of(STEPS))


class Clients:
    """Threads that ask without a pause and note what was wrong; while the service is down nobody answers them."""

    def __init__(self, url: str, expected: dict[str, float], threads: int = 2) -> None:
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.down = threading.Event()
        self._url = url
        self._expected = expected
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def complaint(self, response: httpx.Response) -> str:
        """Return what is wrong with an answer: it is not one of a release, with that release's own number."""
        if response.status_code != 200:
            return f"status {response.status_code}: {response.text}"
        version = response.json()["release"]
        found = response.json()["answer"]["predictions"][0]["probability"]
        if response.headers["x-homeroom-release"] != version or abs(found - self._expected[version]) > 1e-6:
            return f"{version} answered {found}"
        self.answers[version] += 1
        return ""

    def _ask(self) -> None:
        with httpx.Client(timeout=30, trust_env=False, verify=False) as client:
            while not self._ending.is_set():
                self._ask_once(client)

    def _ask_once(self, client: httpx.Client) -> None:
        was_down = self.down.is_set()
        try:
            response = client.post(f"{self._url}/v1/predict", content=BODY)
        except httpx.HTTPError as error:
            if not (was_down or self.down.is_set()):
                self.wrong.append(repr(error))
            time.sleep(0.05)
            return
        if response.status_code == 503 and (was_down or self.down.is_set()):  # it loads still, or ends
            return
        if told := self.complaint(response):
            self.wrong.append(told)
        time.sleep(0.01)


def kill_all_of(server: ServerProcess) -> None:
    """Send SIGKILL to every process of a server at once, and to what guards it."""
    psutil.Process(server.process.pid).suspend()  # it would start a worker anew while they are counted
    processes = [psutil.Process(server.process.pid), *descendants(server.process.pid), psutil.Process(server.guard.pid)]
    for process in processes:
        process.kill()
    server.process.wait(10)
    psutil.wait_procs(processes, timeout=10)
    assert _marked(str(server.home)) == [], "nothing of it is left"


def play(folder: Path, rounds: int, seed: int, workers: int) -> None:
    """Kill the service so many times, each at another moment during swaps, and look at what comes up."""
    source = random.Random(seed)
    store = Store(folder / "store")
    log = PointerLog(store, APPLICATION)
    slots = release_of(store, plain), release_of(store, shifted)
    expected = {slots[0].version: probability_of(STEPS), slots[1].version: shifted_probability(STEPS)}
    port = free_port()

    def begin() -> ServerProcess:
        return start(
            Following(str(folder / "store"), APPLICATION),
            port,
            workers=workers,
            log_file=folder / "server.log",
            environment={"HOMEROOM_SERVE_STATUS": str(folder / "status")},  # what was killed leaves its files there
        )

    say(log, "promote", slots[0])
    serving = 0
    server = begin()
    with Clients(server.url, expected) as clients:
        try:
            wait_for(lambda: clients.answers[slots[0].version] > 0)
            for _ in range(rounds):
                for _ in range(source.choice((1, 3))):
                    serving = 1 - serving
                    say(log, "promote", slots[serving])
                    time.sleep(source.uniform(0, 0.9))
                clients.down.set()
                kill_all_of(server)
                before, server = server, begin()
                before.stop()  # only its folder is left
                clients.down.clear()
                comes_up(server, log, slots[serving], workers, clients)
        finally:
            clients.down.set()
            server.stop()
    assert clients.wrong == []
    assert set(clients.answers) == set(expected)
    assert faults_of(log) == []
    assert [one.number for one in log.entries()] == list(range(1, log.last_number() + 1))


def comes_up(server: ServerProcess, log: PointerLog, champion: Slot, count: int, clients: Clients) -> None:
    """Check that all workers, and those alone that live, answer by the log's last entry."""
    last = log.latest()
    assert last is not None
    assert last.champion == champion
    workers = version_of(server.url)["workers"]
    assert len(workers) == count
    assert {(one["release"], one["entry"], one["behind"]) for one in workers} == {(champion.version, last.number, "")}
    once = httpx.Limits(max_keepalive_connections=0)  # a connection each, so that each worker is asked
    with httpx.Client(timeout=30, trust_env=False, verify=False, limits=once) as client:
        for _ in range(12):
            response = client.post(f"{server.url}/v1/predict", content=BODY)
            assert clients.complaint(response) == ""
            assert response.json()["release"] == champion.version


def test_a_service_killed_during_swaps_comes_up_with_what_the_log_says(tmp_path: Path) -> None:
    play(tmp_path, rounds=1, seed=8, workers=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_twenty_kills(tmp_path: Path) -> None:
    play(tmp_path, rounds=20, seed=9, workers=2)
