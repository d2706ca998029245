"""A challenger and a shadow beside the champion, over HTTP in process: who answers, and what is counted."""

from typing import Any

import pytest

from serving.errors import ModelError
from serving.live import Live
from tests.serving.bundles import (
    probability_of,
    request_of,
)
from tests.serving.following import Bench, changed, probability, scores, shifted_probability, wait_for
from tests.serving.releasing import plain, release_of, say, shifted


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


def fail_on(monkeypatch: pytest.MonkeyPatch, release: str, *lengths: int) -> None:
    """Have a release fail on requests with these lengths of their history."""
    real = Live.answer

    async def answer(live: Live, request: Any) -> Any:
        if live.bundle is not None and live.bundle.version == release and len(request.history) in lengths:
            raise ModelError("It cannot.")
        return await real(live, request)

    monkeypatch.setattr(Live, "answer", answer)


def test_what_fails_in_a_list_is_counted_although_the_list_is_answered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = release_of(bench.store, plain)
    say(bench.log, "promote", a)
    bench.step()
    fail_on(monkeypatch, a.version, 3)
    response = bench.ask([*[request_of(3)] * 9, {"nothing": 1}], "/predict/batch")
    assert response.status_code == 200
    assert [one["error"]["status"] for one in response.json()["results"]] == [500] * 9 + [400]
    tally = bench.server.live.tally
    assert (tally.requests, tally.items, tally.errors, tally.invalid) == (1, 9, 9, 1)
    assert bench.ask([request_of(3)] * 4, "/predict/batch").status_code == 500
    assert bench.ask([request_of(2), request_of(3)], "/predict/batch").status_code == 200
    assert (tally.requests, tally.items, tally.errors, tally.invalid) == (3, 15, 14, 1)


@pytest.mark.parametrize(("only_b", "missed"), [((), 0), ((1,), 1), ((1, 2), 3)])
def test_of_a_list_only_what_the_champion_could_answer_is_the_challengers_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, only_b: tuple[int, ...], missed: int
) -> None:
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    say(bench.log, "canary", a, (b, 99))
    bench.step()
    challenger = bench.server.slots.challenger
    assert challenger is not None
    student = next(f"s{n}" for n in range(9) if bench.server.slots.challenger_for(f"s{n}") is not None)
    fail_on(monkeypatch, a.version, 3)
    fail_on(monkeypatch, b.version, 3, *only_b)
    items = [request_of(1), {"nothing": 1}, request_of(2), request_of(3), request_of(2)]
    found = bench.ask(items, "/predict/batch", **{"homeroom-student": student}).json()
    assert found["release"] == a.version
    assert [one["error"]["status"] if "error" in one else 0 for one in found["results"]] == [0, 400, 0, 500, 0]
    assert (challenger.tally.errors, challenger.tally.items) == (missed, missed)
    assert bench.count("homeroom_challenger_fallbacks_total", release=b.version) == (1 if missed else 0)
    champion = bench.server.live.tally
    assert (champion.items, champion.errors, champion.invalid) == (4, 1, 1)


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
