"""Following the pointer log step by step, in process: swaps, rollbacks, what cannot be loaded, a failing store."""

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Release
from components.errors import StoreError
from components.gate.override import Override
from components.store import Store
from components.testing import ALWAYS, S3Server, hang, slow_down
from serving.follow import FIRST_RETRY_S, LATE_S, LOOK_AROUND_S, MOST_KEPT, Follower, StoreSource
from serving.http import version_info
from serving.live import Live, not_ready
from serving.registry import Challenger, Change, Slot, State
from serving.settings import ServiceSettings
from serving.slots import Server, Slots
from tests.serving.bundles import (
    KEY,
    probability_of,
    request_of,
    score_model,
    score_reference,
    sigmoid,
    tracing_model,
    write_bundle,
)
from tests.serving.following import Bench, changed, probability, scores, shifted_probability
from tests.serving.releasing import APPLICATION, plain, release_of, say, shifted


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
        release_of(bench.store, partial(plain, extra={"note": str(number).encode()})) for number in range(MOST_KEPT + 3)
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
    (tmp_path / "key").write_text(KEY.public.line())
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


def test_a_store_and_a_release_of_an_earlier_homeroom_are_followed(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "golden" / "format1"
    shutil.copytree(old, tmp_path / "old")
    settings = ServiceSettings(
        serve_store=str(tmp_path / "old" / "store"),
        serve_application=APPLICATION,
        release_key=tmp_path / "old" / "keys" / "signing.key",
    )
    bench = Bench(Store(tmp_path / "old" / "store"), settings, tmp_path / "status")
    bench.step()
    assert (bench.release, bench.server.slots.entry) == ("knowledge_tracing-f49cf0c95345", 0)
    first = bench.server.live.bundle
    assert first is not None
    assert (first.manifest.signature, bench.server.live.is_ready) == ("verified", True)
    current = bench.log.latest()
    assert current is not None
    assert current.champion is not None
    say(bench.log, "promote", current.champion)  # the first entry of the log
    bench.step()
    assert (bench.release, bench.server.slots.entry) == (first.version, 1)
    assert bench.server.live.bundle is first, "it was in memory"
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

    # One that follows another log does not, though the folder was this one's.
    other = Server(Slots(champion=not_ready(slow_settings, "not read yet")))
    other.status_folder = bench.server.status_folder
    of_another = slow_settings.model_copy(update={"serve_application": "another"})
    follower = Follower(other, StoreSource(of_another), bench.metrics)
    follower.start(60.0)
    follower.close()
    assert other.live.bundle is None
    assert "cannot be read" in other.live.reason
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


def test_the_override_of_a_canary_is_not_shown_as_the_champions_and_none_stays_with_a_release(bench: Bench) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    given = Override(by="A. Mensah", reason="for this term", until="2999-01-31", given="20260101T000000Z")

    def shown(action: Any, champion: Slot, challenger: Slot | None = None, override: Override | None = None) -> Any:
        last = bench.log.latest()
        other = None
        if challenger is not None:
            other = Challenger(version=challenger.version, artifact=challenger.artifact, percent=50)
        change = Change(
            action=action, by="a test", reason="try", champion=champion, challenger=other, override=override
        )
        bench.log.append(change, expected=0 if last is None else last.number)
        bench.step()
        told = bench.get("/version").json()
        assert told["release"] == champion.version
        return told["gate_override"] and told["gate_override"]["by"]

    assert shown("promote", a) is None
    assert shown("challenge", a, b, given) is None
    assert shown("canary", a, b, given) is None
    assert shown("promote", b, override=given) == "A. Mensah"
    last = bench.log.latest()
    assert last is not None
    assert last.champion is not None
    assert shown("challenge", last.champion, a) == "A. Mensah", "a later entry keeps what the champion serves by"
    assert shown("promote", a) is None
    assert shown("promote", b) is None, "let through without one this time"
