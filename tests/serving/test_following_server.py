"""A real server of two workers that follows the pointer log: asked without a pause while what serves is exchanged."""

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from components.store import Store
from serving.registry import PointerLog, Slot
from serving.run import Following, ServerProcess, start
from serving.supervise.limits import Limits
from serving.supervise.supervisor import Supervisor
from serving.supervise.waiting import version_of, wait_until_live
from tests.serving.bundles import probability_of, request_of, sigmoid, tracing_model, write_bundle
from tests.serving.releasing import APPLICATION, plain, release_of, say, shifted

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.multiprocess]
STEPS = 3
EXPECTED = {False: probability_of(STEPS), True: sigmoid(0.5 * STEPS + 0.1 * 3 - 0.05 * 3 + 1.0)}


@dataclass
class Served:
    """A server, its log, and two releases that answer differently."""

    server: ServerProcess
    log: PointerLog
    store: Store
    plain: Slot
    shifted: Slot

    def promote(self, slot: Slot, action: str = "promote") -> float:
        """Have a release serve; return the seconds until all workers answer by it."""
        state = say(self.log, action, slot)
        begin = time.monotonic()
        wait_until_live(lambda: version_of(self.server.url), slot.version, 20, entry=state.number)
        return time.monotonic() - begin


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("followed")
    store = Store(folder / "store")
    log = PointerLog(store, APPLICATION)
    one, other = release_of(store, plain), release_of(store, shifted)
    with start(Following(str(folder / "store"), APPLICATION), workers=2, log_file=folder / "server.log") as server:
        ready = httpx.get(f"{server.url}/readyz", trust_env=False)
        assert (ready.status_code, ready.json()["reason"][:26]) == (503, "There is no release yet; p")
        found = Served(server, log, store, one, other)
        found.promote(one)
        yield found


class Askers:
    """Threads that ask without a pause, and remember what was wrong."""

    def __init__(self, served: Served, threads: int = 4) -> None:
        self.versions: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._served = served
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    @property
    def asked(self) -> int:
        return sum(self.versions.values()) + len(self.wrong)

    def __enter__(self) -> "Askers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        body = json.dumps(request_of(STEPS))
        expected = {
            self._served.plain.version: EXPECTED[False],
            self._served.shifted.version: EXPECTED[True],
        }
        with httpx.Client(base_url=self._served.server.url, timeout=30, trust_env=False) as client:
            while not self._ending.is_set():
                try:
                    response = client.post("/v1/predict", content=body)
                    version = response.json()["release"]
                    found = response.json()["answer"]["predictions"][0]["probability"]
                    if response.headers["x-homeroom-release"] != version or abs(found - expected[version]) > 1e-6:
                        self.wrong.append(f"{version} answered {found}")
                    else:
                        self.versions[version] += 1
                except (httpx.HTTPError, KeyError) as error:
                    self.wrong.append(repr(error))


def swap_under_load(served: Served, swaps: int, requests: int, threads: int) -> Askers:
    with Askers(served, threads) as askers:
        done = 0
        while done < swaps or askers.asked < requests:
            if done < swaps and askers.asked >= done * requests / swaps:
                served.promote(served.shifted if done % 2 == 0 else served.plain)
                done += 1
            time.sleep(0.05)
    return askers


def test_three_swaps_while_clients_ask_fail_nothing_and_every_answer_is_of_a_live_release(served: Served) -> None:
    askers = swap_under_load(served, swaps=3, requests=300, threads=4)
    assert askers.wrong == []
    assert set(askers.versions) == {served.plain.version, served.shifted.version}
    served.promote(served.plain, "rollback")


@pytest.mark.soak
def test_twenty_swaps_during_fifty_thousand_requests(served: Served) -> None:
    askers = swap_under_load(served, swaps=20, requests=50_000, threads=8)
    assert askers.wrong == []
    assert askers.asked >= 50_000
    served.promote(served.plain, "rollback")


def test_a_rollback_is_seen_by_all_workers_within_five_seconds(served: Served) -> None:
    served.promote(served.shifted)
    assert served.promote(served.plain, "rollback") < 5
    said = version_of(served.server.url)
    assert len(said["workers"]) == 2
    assert len({worker["pid"] for worker in said["workers"]}) == 2
    assert {worker["entry"] for worker in said["workers"]} == {served.log.last_number()}


def test_metrics_are_of_all_workers_and_name_the_release(served: Served) -> None:
    with httpx.Client(base_url=served.server.url, timeout=30, trust_env=False) as client:
        before = metric(client, served)
        for _ in range(20):  # a connection each, so that both workers are asked
            httpx.post(f"{served.server.url}/v1/predict", json=request_of(1), trust_env=False)
        client.get("/v1/any%20path?name=Anna")
        assert metric(client, served) == before + 20
        text = client.get("/metrics").text
        assert re.search(rf'homeroom_live_workers{{release="{served.plain.version}",slot="champion"}} 2\.0', text)
        assert "Anna" not in text
        assert "any" not in text
        assert "bentoml" not in text


def metric(client: httpx.Client, served: Served) -> float:
    text = client.get("/metrics").text
    found = re.findall(
        rf'homeroom_requests_total{{release="{served.plain.version}",route="/predict",slot="champion",status="200"}} '
        r"([\d.]+)",
        text,
    )
    return float(found[0]) if found else 0.0


def test_a_release_that_cannot_be_loaded_is_told_while_the_old_one_answers(served: Served) -> None:
    bad = release_of(served.store, lambda folder: write_bundle(folder, model=tracing_model(shift=0.25)))
    say(served.log, "promote", bad)
    until(lambda: all("cannot be loaded" in worker["behind"] for worker in version_of(served.server.url)["workers"]))
    ready = httpx.get(f"{served.server.url}/readyz", trust_env=False)
    assert ready.status_code == 200
    assert ready.json()["release"] == served.plain.version
    assert "Golden request 0" in ready.json()["behind"]
    answer = httpx.post(f"{served.server.url}/v1/predict", json=request_of(STEPS), trust_env=False).json()
    assert answer["release"] == served.plain.version
    assert "homeroom_failed_loads_total" in httpx.get(f"{served.server.url}/metrics", trust_env=False).text
    served.promote(served.plain, "rollback")
    assert httpx.get(f"{served.server.url}/readyz", trust_env=False).json()["behind"] == ""


def test_a_canary_that_fails_students_is_withdrawn_and_a_good_one_promoted_by_the_supervisor(served: Served) -> None:
    limits = Limits(min_requests=10, min_stage_s=0.0, latency_floor_s=30.0, score_shift=0.3)
    supervisor = Supervisor(served.log, served.server.workers, limits, by="server test")
    say(served.log, "canary", served.plain, (served.shifted, 50))
    ask_as_students(served, lambda: supervisor.step() is not None)
    last = served.log.latest()
    assert last is not None
    assert last.action == "withdraw"
    assert "standard deviations" in last.reason, "its answers are shifted"
    supervisor = Supervisor(
        served.log, served.server.workers, limits.with_values(["score_shift=100"]), by="server test"
    )
    say(served.log, "canary", served.plain, (served.shifted, 50))
    ask_as_students(served, lambda: supervisor.step() is not None)
    last = served.log.latest()
    assert last is not None
    assert (last.action, last.champion) == ("promote", served.shifted)
    served.promote(served.plain, "rollback")


def ask_as_students(served: Served, happened: Callable[[], bool]) -> None:
    def look() -> bool:
        with httpx.Client(base_url=served.server.url, timeout=30, trust_env=False) as client:
            for number in range(20):
                body: Any = request_of(number % 4)
                assert client.post("/v1/predict", json=body, headers={"Homeroom-Student": f"s{number}"}).is_success
        return happened()

    until(look)


def test_a_killed_worker_comes_back_on_what_serves_now(served: Served) -> None:
    workers = served.server.workers()
    os.kill(workers[0].pid, signal.SIGKILL)
    served.promote(served.shifted)  # while there is one worker
    until(lambda: len(served.server.workers()) == 2, 40)
    assert {worker.release for worker in served.server.workers()} == {served.shifted.version}
    assert workers[0].pid not in {worker.pid for worker in served.server.workers()}
    served.promote(served.plain, "rollback")


def test_the_log_of_the_server_holds_nothing_of_the_requests(served: Served) -> None:
    with httpx.Client(base_url=served.server.url, timeout=30, trust_env=False) as client:
        client.post("/v1/predict", json=request_of(1), headers={"Homeroom-Student": "Anna-Smith"})
        client.post("/v1/predict", json={"Anna": 1}, headers={"Homeroom-Student": "Anna-Smith"})
    assert "Anna" not in served.server.log_tail(10_000)
    texts = [path.read_text() for path in served.server.status.iterdir()]
    assert texts
    assert not any("Anna" in text for text in texts)


def until(happened: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.1)
