"""Following the pointer log, step by step and in process: swaps, rollbacks, what cannot be loaded, a store that fails."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from components.artifacts import Release
from components.errors import StoreError
from components.store import Store
from components.testing import ALWAYS, S3Server, hang, slow_down
from serving.follow import FIRST_RETRY_S, LATE_S, LOOK_AROUND_S, MOST_KEPT, Follower, StoreSource
from serving.http import add_routes, version_info
from serving.live import Live, not_ready
from serving.metrics import Metrics
from serving.observe import Observer
from serving.registry import PointerLog, Slot, State
from serving.settings import ServiceSettings
from serving.slots import Server, Slots
from tests.serving.bundles import (
    KEY,
    SCORE_CODEC,
    probability_of,
    request_of,
    score_model,
    score_reference,
    sigmoid,
    tracing_model,
    write_bundle,
)
from tests.serving.releasing import APPLICATION, plain, release_of, say, shifted


class Bench:
    """A store with a log, and a server that follows it one step at a time by a clock of its own."""

    def __init__(self, store: Store, settings: ServiceSettings, status: Path) -> None:
        self.store = store
        self.log = PointerLog(store, APPLICATION)
        self.settings = settings
        self.now = 0.0
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.server = Server(Slots(champion=not_ready(settings, "not read yet")))
        self.server.status_folder = status
        status.mkdir()
        self.follower = self.follow(StoreSource(settings))

    def follow(self, source: Any) -> Follower:
        return Follower(self.server, source, self.metrics, keep_s=100.0, drain_s=10.0, clock=lambda: self.now)

    def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.follower.step()

    @property
    def release(self) -> str | None:
        bundle = self.server.live.bundle
        return bundle.version if bundle is not None else None

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def ask(self, value: Any, path: str = "/predict", **headers: str) -> httpx.Response:
        return self.talk(lambda client: client.post(path, json=value, headers=headers))

    def get(self, path: str) -> httpx.Response:
        return self.talk(lambda client: client.get(path))

    def talk(self, act: Callable[[httpx.AsyncClient], Any]) -> httpx.Response:
        app = FastAPI()
        add_routes(app, self.server, Observer(self.metrics))

        async def run() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                response: httpx.Response = await act(client)
            await asyncio.sleep(0)  # what is observed is so after the answer
            return response

        return asyncio.run(run())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    store = Store(tmp_path / "store")
    settings = ServiceSettings(serve_store=str(tmp_path / "store"), serve_application=APPLICATION)
    found = Bench(store, settings, tmp_path / "status")
    yield found
    found.server.close()


def probability(response: httpx.Response) -> float:
    return float(response.json()["answer"]["predictions"][0]["probability"])


def shifted_probability(steps: int) -> float:
    return sigmoid(0.5 * steps + 0.1 * 3 - 0.05 * 3 + 1.0)


def scores(folder: Path) -> str:
    """Write a release of the same application with another codec: other requests, other answers."""
    return write_bundle(
        folder,
        codec_file=SCORE_CODEC,
        vocabulary={"most": 20},
        model=score_model(),
        reference=score_reference,
    )


def test_a_server_without_any_release_says_so_and_takes_the_first_one(bench: Bench) -> None:
    bench.step()
    assert bench.server.live.reason.startswith("There is no release yet")
    assert bench.ask(request_of(1)).status_code == 503
    a = release_of(bench.store, plain)
    say(bench.log, "promote", a)
    bench.step()
    response = bench.ask(request_of(3))
    assert response.json()["release"] == response.headers["x-homeroom-release"] == a.version
    assert probability(response) == pytest.approx(probability_of(3), abs=1e-6)
    assert bench.server.slots.entry == 1


def test_promotion_and_rollback_are_answered_by_and_a_rollback_loads_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    say(bench.log, "promote", a)
    bench.step()
    say(bench.log, "promote", b)
    bench.step()
    assert probability(bench.ask(request_of(3))) == pytest.approx(shifted_probability(3), abs=1e-6)

    def never(self: StoreSource, slot: Slot) -> Live:
        raise AssertionError("it is in memory")

    monkeypatch.setattr(StoreSource, "load", never)
    say(bench.log, "rollback", a)
    bench.step()
    assert probability(bench.ask(request_of(3))) == pytest.approx(probability_of(3), abs=1e-6)
    assert bench.count("homeroom_swaps_total", release=a.version) == 2
    assert set(bench.server.tallies()) == {a.version, b.version}
    assert bench.server.tallies()[b.version].requests == 1


def test_a_request_keeps_to_the_release_that_it_began_with(bench: Bench) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    say(bench.log, "promote", a)
    bench.step()
    begun = bench.server.slots.champion
    say(bench.log, "promote", b)
    bench.step(10.1)  # longer than drain_s after the first, but the second was replaced just now
    assert bench.release == b.version
    assert begun.batcher is not None
    loaded = begun.bundle
    assert loaded is not None
    answer = asyncio.run(begun.answer(loaded.requests.read(json.dumps(request_of(3)).encode())))
    assert answer.predictions[0].probability == pytest.approx(probability_of(3), abs=1e-6)


def test_what_was_replaced_is_closed_after_its_time_and_never_while_it_may_be_asked(bench: Bench) -> None:
    slots = [
        release_of(bench.store, lambda folder, shift=shift: plain(folder, extra={"note": str(shift).encode()}))
        for shift in range(MOST_KEPT + 3)
    ]
    for slot in slots:
        say(bench.log, "promote", slot)
        bench.step(1.0)
    assert len(bench.server.kept) == len(slots) - 1, "all were replaced within the time that a request may take"
    oldest = bench.server.kept[0]
    bench.step(6.5)
    assert len(bench.server.kept) == MOST_KEPT + 1, "those above the number go once they are drained"
    bench.step(5.0)
    assert len(bench.server.kept) == MOST_KEPT
    assert oldest.batcher is not None
    assert not oldest.batcher._thread.is_alive()
    bench.step(100.0)
    assert bench.server.kept == ()
    assert bench.ask(request_of(1)).status_code == 200


def test_another_codec_brings_its_requests_its_document_and_its_routes_and_takes_them_back(bench: Bench) -> None:
    a, c = release_of(bench.store, plain), release_of(bench.store, scores)
    grading = release_of(
        bench.store,
        lambda folder: write_bundle(
            folder,
            codec_file=Path(__file__).with_name("grading_codec.py"),
            vocabulary={},
            model=score_model(),
            reference=score_reference,
        ),
    )
    say(bench.log, "promote", a)
    bench.step()
    fields = bench.get("/openapi.json").json()["components"]["schemas"]["Request"]["properties"]
    assert set(fields) == {"candidates", "history"}
    say(bench.log, "promote", c)
    bench.step()
    assert bench.ask(request_of(3)).status_code == 400
    response = bench.ask({"scores": [0.5, 0.5]})
    assert response.json()["answer"]["value"] == pytest.approx(sigmoid(1.0), abs=1e-6)
    page = bench.get("/openapi.json").json()
    assert set(page["components"]["schemas"]["Request"]["properties"]) == {"scores"}
    assert page["info"]["version"] == c.version
    assert "/grading" not in page["paths"]
    assert bench.get("/grading").status_code == 404
    say(bench.log, "promote", grading)
    bench.step()
    assert [p["prompt"] for p in bench.get("/grading").json()["prompts"]] == ["a"]
    assert {"/grading", "/overrides"} <= set(bench.get("/openapi.json").json()["paths"])
    say(bench.log, "rollback", a)
    bench.step()
    assert probability(bench.ask(request_of(3))) == pytest.approx(probability_of(3), abs=1e-6)
    assert bench.get("/grading").status_code == 404


def changed(name: str, body: bytes | None) -> Callable[[Bench, Slot], None]:
    """Return what changes or removes a file of a release in the store."""

    def act(bench: Bench, slot: Slot) -> None:
        root = bench.store.local_root
        assert root is not None
        path = root / "artifacts" / slot.artifact / name
        if body is None:
            path.unlink()
        else:
            path.write_bytes(body)

    return act


@pytest.mark.parametrize(
    ("write", "harm", "told"),
    [
        (shifted, changed("model.onnx", tracing_model(shift=0.5)), r"model\.onnx"),
        (shifted, changed("codec.py", None), r"codec\.py"),
        (lambda folder: write_bundle(folder, model=tracing_model(shift=0.5)), None, "Golden request 0"),
        (lambda folder: write_bundle(folder, model=b"no onnx"), None, "refuses the model"),
    ],
)
def test_a_release_that_cannot_be_loaded_leaves_what_serves_and_is_tried_again(
    bench: Bench, write: Callable[[Path], str], harm: Callable[[Bench, Slot], None] | None, told: str
) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, write)
    say(bench.log, "promote", a)
    bench.step()
    before = bench.server.slots
    if harm is not None:
        harm(bench, b)
    say(bench.log, "promote", b)
    bench.step()
    bench.step(FIRST_RETRY_S / 2)
    assert bench.server.slots is before, "nothing was exchanged"
    assert re.search(told, bench.server.behind)
    assert f"The champion {b.version} cannot be loaded" in version_info(bench.server).behind
    assert version_info(bench.server).ready
    assert bench.count("homeroom_failed_loads_total", release=b.version) == 1
    bench.step(FIRST_RETRY_S)
    assert bench.count("homeroom_failed_loads_total", release=b.version) == 2
    bench.step(FIRST_RETRY_S)
    assert bench.count("homeroom_failed_loads_total", release=b.version) == 2, "the wait is doubled"
    assert probability(bench.ask(request_of(3))) == pytest.approx(probability_of(3), abs=1e-6)
    say(bench.log, "rollback", a)
    bench.step()
    assert bench.server.behind == ""
    assert bench.server.slots.entry == 3


def test_only_releases_signed_with_the_given_key_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY.value.hex())
    store = Store(tmp_path / "store")
    settings = ServiceSettings(
        serve_store=str(tmp_path / "store"), serve_application=APPLICATION, release_key=tmp_path / "key"
    )
    bench = Bench(store, settings, tmp_path / "status")
    signed, unsigned = release_of(store, lambda f: plain(f, key=KEY)), release_of(store, shifted)
    say(bench.log, "promote", signed)
    bench.step()
    assert bench.release == signed.version
    say(bench.log, "promote", unsigned)
    bench.step()
    assert bench.release == signed.version
    assert "is not signed" in bench.server.behind
    bench.server.close()


def test_a_damaged_last_entry_and_one_after_it(bench: Bench) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    say(bench.log, "promote", a)
    bench.step()
    state = say(bench.log, "promote", b)
    bench.store.place.put_bytes(f"records/{bench.log.path(state.number)}", b'{"format": 1, "numb')
    bench.step()
    bench.step()
    assert bench.release == a.version
    assert "is damaged" in bench.server.behind
    assert bench.count("homeroom_pointer_failures_total") == 2
    root = bench.store.local_root
    assert root is not None
    folder = root / "records" / "releases" / APPLICATION / "log"
    (folder / "00000003.json").write_text(json.dumps({**state.to_json(), "number": 3}))
    bench.step()
    assert (bench.release, bench.server.behind) == (b.version, "")


def test_an_entry_beyond_a_hole_is_found_when_the_log_is_listed(bench: Bench) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    say(bench.log, "promote", a)
    bench.step()
    say(bench.log, "promote", b)
    state = say(bench.log, "promote", b)
    bench.store.delete_record(bench.log.path(2))
    bench.step()
    assert bench.release == a.version
    bench.step(LOOK_AROUND_S)
    assert (bench.release, bench.server.slots.entry) == (b.version, state.number)


@pytest.fixture
def slow_settings(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("CONNECT_S", "READ_S", "TOTAL_S"):
        monkeypatch.setenv(f"HOMEROOM_S3_{name}", "1.5")
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "1")
    s3.make_bucket("follow")
    return ServiceSettings(
        serve_store="s3://follow/store", serve_application=APPLICATION, serve_cache=tmp_path / "server-cache"
    )


def test_a_store_that_answers_503_or_hangs_or_is_gone_changes_nothing_and_is_told(
    tmp_path: Path, s3: S3Server, slow_settings: ServiceSettings
) -> None:
    store = Store("s3://follow/store", cache=tmp_path / "cache")
    bench = Bench(store, slow_settings, tmp_path / "status")
    a, b = release_of(store, plain), release_of(store, shifted)
    say(bench.log, "promote", a)
    bench.step()
    assert bench.release == a.version
    say(bench.log, "promote", b)
    for fault in (slow_down(times=ALWAYS), hang(5.0, times=ALWAYS)):
        s3.inject(fault)
        bench.step()
        assert bench.release == a.version
        assert "The pointer log cannot be read" in bench.server.behind
        assert bench.ask(request_of(1)).status_code == 200
        s3.clear()

    # A worker that starts while the store is away answers by what the others wrote down, from its copy.
    s3.inject(slow_down(times=ALWAYS))
    late = Server(Slots(champion=not_ready(slow_settings, "not read yet")))
    late.status_folder = bench.server.status_folder
    follower = Follower(late, StoreSource(slow_settings), bench.metrics)
    follower.start(60.0)
    follower.close()
    assert late.live.is_ready
    assert late.live.bundle is not None
    assert late.live.bundle.version == a.version
    assert "cannot be read" in late.behind
    late.close()
    s3.clear()
    bench.step()
    assert (bench.release, bench.server.behind) == (b.version, "")
    bench.server.close()


class Stuck:
    """A source that does not answer."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.told: list[str] = []

    def latest(self) -> State | None:
        self.bench.now += LATE_S - 1
        self.told.append(self.bench.server.behind)
        self.bench.now += 2
        self.told.append(self.bench.server.behind)
        raise StoreError("gone")

    def after(self, number: int) -> State | None:
        return self.latest()

    def load(self, slot: Slot) -> Live:
        raise AssertionError("there is none")


def test_while_the_store_is_silent_the_server_says_so(bench: Bench) -> None:
    stuck = Stuck(bench)
    bench.follower = bench.follow(stuck)
    bench.step()
    assert stuck.told[0] == ""
    assert "has not answered for 11 s" in stuck.told[1]
    assert "gone" in bench.server.behind


def test_an_artifact_that_is_no_such_release_is_refused(bench: Bench) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    assert isinstance(bench.store.find(a.artifact), Release)
    say(bench.log, "promote", Slot(version=b.version, artifact=a.artifact))
    bench.step()
    assert not bench.server.live.is_ready
    assert "is not that release" in bench.server.live.reason


def test_students_of_a_canary_stay_with_it_and_all_others_with_the_champion(bench: Bench) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    say(bench.log, "promote", a)
    bench.step()
    students = [f"s{number}" for number in range(40)]

    def who(percent: int) -> set[str]:
        say(bench.log, "canary", a, (b, percent))
        bench.step()
        found = {s: bench.ask(request_of(2), **{"homeroom-student": s}) for s in students}
        for response in found.values():
            expected = {a.version: probability_of(2), b.version: shifted_probability(2)}[response.json()["release"]]
            assert probability(response) == pytest.approx(expected, abs=1e-6)
            assert response.headers["x-homeroom-release"] == response.json()["release"]
        return {student for student, response in found.items() if response.json()["release"] == b.version}

    half = who(50)
    assert 8 <= len(half) <= 32
    assert half == who(50)
    assert who(10) <= half
    assert bench.ask(request_of(2)).json()["release"] == a.version, "without a pseudonym"
    listed = bench.ask([request_of(2)] * 2, "/predict/batch", **{"homeroom-student": next(iter(half))})
    assert listed.json()["release"] in {a.version, b.version}
    challenger = bench.server.slots.challenger
    assert challenger is not None
    assert challenger.tally.requests >= 2 * len(half)
    assert bench.count(
        "homeroom_requests_total", route="/predict", status="200", release=b.version, slot="challenger"
    ) == pytest.approx(challenger.tally.requests, abs=1)


def test_what_a_challenger_cannot_answer_the_champion_does(bench: Bench) -> None:
    a, c = release_of(bench.store, plain), release_of(bench.store, scores)
    say(bench.log, "promote", a)
    say(bench.log, "canary", a, (c, 99))
    bench.step()
    for number in range(10):
        response = bench.ask(request_of(2), **{"homeroom-student": f"s{number}"})
        assert response.json()["release"] == a.version
        assert probability(response) == pytest.approx(probability_of(2), abs=1e-6)
        assert bench.ask({"nothing": 1}, **{"homeroom-student": f"s{number}"}).status_code == 400
    challenger = bench.server.slots.challenger
    assert challenger is not None
    assert 8 <= challenger.tally.errors <= 10
    assert bench.count("homeroom_challenger_fallbacks_total", release=c.version) == challenger.tally.errors
    assert bench.server.live.tally.errors == 0


def test_a_challenger_that_cannot_be_loaded_leaves_the_champion_of_the_same_entry(bench: Bench) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    changed("model.onnx", b"changed")(bench, b)
    say(bench.log, "canary", a, (b, 50))
    bench.step()
    assert bench.release == a.version
    assert (bench.server.slots.challenger, bench.server.slots.percent) == (None, 0)
    assert f"The challenger {b.version} cannot be loaded" in bench.server.behind


def test_a_shadow_is_compared_with_what_was_answered(bench: Bench) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    say(bench.log, "shadow", a, shadow=b)
    bench.step()
    shadow = bench.server.slots.shadow
    assert shadow is not None
    for steps in range(6):
        assert bench.ask(request_of(steps)).json()["release"] == a.version
    wait_for(lambda: shadow.comparison.compared == 6)
    expected = [shifted_probability(steps) - probability_of(steps) for steps in range(6)]
    assert shadow.comparison.signed.mean == pytest.approx(sum(expected) / 6, abs=1e-6)
    assert sum(shadow.comparison.differences) == 6
    assert bench.count("homeroom_shadow_total", release=b.version, outcome="compared") == 6
    say(bench.log, "promote", b)
    bench.step()
    assert bench.release == b.version
    assert bench.server.slots.shadow is None
    assert not shadow._thread.is_alive()


def wait_for(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
