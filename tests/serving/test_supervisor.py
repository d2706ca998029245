"""The supervisor as plain steps: canaries go from share to share or are withdrawn, promotions are taken back."""

import json
import re
import shutil
import ssl
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.errors import ConfigError
from components.gate.decision import Decision, Finding
from components.gate.override import Override
from components.gate.records import DecisionRecords
from components.store import Store
from serving.errors import ServerStartError
from serving.registry import Challenger, Change, PointerLog, Slot, State
from serving.supervise.counts import Counts, since
from serving.supervise.judging import judge
from serving.supervise.limits import Limits
from serving.supervise.permission import Permission, missing_from
from serving.supervise.supervisor import Supervisor
from serving.supervise.waiting import wait_until_live
from serving.tally import Tally, effect_size
from tests.serving.registry.published import release
from tests.serving.releasing import say
from tests.serving.supervising import LIMITS, A, B, Bench, C, tally


@pytest.mark.parametrize(
    ("new", "outcome", "told"),
    [
        (tally(99), "wait", "99 requests, 0 failures of at least 100"),
        (tally(100), "good", "100 requests, 0 failures"),
        (tally(20, errors=5), "bad", r"25.0% of 20 requests failed, 0.0% of the other"),
        (tally(20, errors=4), "wait", "20 requests, 4 failures"),
        (tally(400, errors=8), "good", "8 failures"),
        (tally(400, errors=9), "bad", r"2.2% of 400"),
        (tally(0, misread=100), "bad", r"100.0% of 100 requests could not be read, and the release before could"),
        (tally(0, misread=99), "wait", "0 requests"),
        (tally(900, misread=100), "good", "900 requests"),
        (tally(899, misread=101), "bad", r"10.1% of 1000 requests could not be read"),
        (tally(200, seconds=0.2), "bad", "95th percentile"),
        (tally(200, seconds=0.03), "good", "200 requests"),  # three times as slow, but below the floor
        (tally(200, mean=0.53), "good", "200 requests"),
        (tally(200, mean=0.56), "bad", r"a shift of 0\.60 standard deviations"),
        (tally(200, mean=0.44), "bad", r"a shift of -0\.60 standard deviations"),
    ],
)
def test_the_verdict_follows_from_the_counts(new: Tally, outcome: str, told: str) -> None:
    found = judge(new, tally(1000), LIMITS)
    assert found.outcome == outcome
    assert re.search(told, found.reason)


def test_what_the_other_release_could_not_read_either_is_no_fault() -> None:
    found = tally(900)
    for _ in range(10_000):
        found.count(400, 0.01, None)
    assert judge(found, tally(900), LIMITS).outcome == "good"


def test_a_promoted_release_that_refuses_everybody_is_taken_back(bench: Bench) -> None:
    state = say(bench.log, "promote", A)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    bench.step()
    bench.all_say(state, {A.version: tally(500), B.version: tally(0, misread=60)})
    found = bench.step()
    assert found is not None
    assert (found.action, found.champion) == ("rollback", A)
    assert "100.0% of 120 requests could not be read, and the release before could read them" in found.reason


def test_without_another_release_to_compare_with_only_failures_count() -> None:
    assert judge(tally(200, seconds=5.0, mean=3.0), tally(10), LIMITS).outcome == "good"
    assert judge(tally(200, errors=10), Tally(), LIMITS).outcome == "bad"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def test_a_canary_goes_from_1_to_10_to_50_to_all_and_every_step_is_an_entry(bench: Bench) -> None:
    say(bench.log, "promote", A)
    state = say(bench.log, "canary", A, (B, 1))
    old, new = tally(1000), Tally()
    shares = []
    while state.champion == A:
        bench.all_say(state, {A.version: old, B.version: new})
        assert bench.step() is None, "nothing was counted in this stage yet"
        new = new.plus(tally(49))
        old = old.plus(tally(1000))
        bench.all_say(state, {A.version: old, B.version: new})
        assert bench.step() is None, "98 of 100 requests, of both workers"
        new = new.plus(tally(1))
        bench.all_say(state, {A.version: old, B.version: new})
        found = bench.step()
        assert found is not None
        shares.append((found.action, found.challenger.percent if found.challenger else None))
        assert found.by == "server test"
        assert "100 requests, 0 failures" in found.reason
        state = found
    assert shares == [("canary", 10), ("canary", 50), ("promote", None)]
    assert state.champion == B
    assert [one.action for one in bench.log.entries()] == ["promote", "canary", "canary", "canary", "promote"]


def test_a_stage_has_its_least_time_and_counts_only_once_all_workers_have_it(bench: Bench) -> None:
    before = say(bench.log, "promote", A)
    state = say(bench.log, "canary", A, (B, 1))
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    bench.workers[1] = replace(bench.workers[1], entry=before.number, challenger=None)
    assert bench.step() is None
    bench.all_say(state, {A.version: tally(500), B.version: tally(500)})
    assert bench.step(5.0) is None, "5 of 10 seconds"
    found = bench.step(6.0)
    assert found is not None
    assert found.challenger is not None
    assert found.challenger.percent == 10


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (tally(20, errors=5), "25.0% of 40 requests failed"),
        (tally(100, seconds=1.0), "95th percentile"),
        (tally(100, mean=0.9), "shift of"),
    ],
)
def test_a_bad_canary_is_withdrawn_with_its_figures(bench: Bench, bad: Tally, told: str) -> None:
    say(bench.log, "promote", A)
    state = say(bench.log, "canary", A, (B, 10), shadow=C)
    bench.all_say(state, {A.version: Tally(), B.version: Tally()})
    bench.step()
    bench.all_say(state, {A.version: tally(500), B.version: bad})
    found = bench.step()
    assert found is not None
    assert (found.action, found.champion, found.challenger, found.shadow) == ("withdraw", A, None, C)
    assert f"{B.version} is withdrawn at 10 %: " in found.reason
    assert told in found.reason


def test_a_canary_that_a_worker_cannot_load_is_withdrawn(bench: Bench) -> None:
    say(bench.log, "promote", A)
    state = say(bench.log, "canary", A, (B, 10))
    bench.all_say(state, {A.version: tally(500)})
    bench.workers[0] = replace(bench.workers[0], challenger=None)
    assert bench.step(5.0) is None
    found = bench.step(20.0)
    assert found is not None
    assert found.action == "withdraw"
    assert "cannot load it" in found.reason


def test_a_promoted_release_that_fails_is_taken_back_once(bench: Bench) -> None:
    state = say(bench.log, "promote", A)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    assert bench.step() is None
    bench.all_say(state, {A.version: tally(500), B.version: tally(60, errors=3)})
    found = bench.step()
    assert found is not None
    assert (found.action, found.champion) == ("rollback", A)
    assert "5.0% of 120 requests failed, 0.0% of the other release's 1000" in found.reason
    bench.all_say(found, {A.version: tally(600, errors=100), B.version: tally(60, errors=3)})
    assert bench.step() is None, "what was brought back is not taken back again"


@pytest.mark.parametrize("unable", [1, 2])
def test_a_promoted_release_that_workers_cannot_load_is_taken_back(bench: Bench, unable: int) -> None:
    before = say(bench.log, "promote", A)
    bench.all_say(before, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    told = f"The champion {B.version} cannot be loaded: it gives other golden answers."
    for place in range(unable):
        bench.workers[place] = replace(bench.workers[place], entry=before.number, release=A.version, behind=told)
    assert bench.step(0.0) is None
    assert bench.step(LIMITS.min_stage_s - 1) is None, "it is tried again meanwhile"
    found = bench.step(2.0)
    assert found is not None
    assert (found.action, found.champion) == ("rollback", A)
    assert f"{unable} of 2 workers cannot load it" in found.reason


def test_a_worker_that_stays_behind_does_not_hide_what_the_others_do(bench: Bench) -> None:
    before = say(bench.log, "promote", A)
    bench.all_say(before, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)

    def one_is_late(errors: int) -> None:
        bench.all_say(state, {A.version: tally(500), B.version: tally(errors, errors=errors)})
        late = "The store has not answered for 30 s; what serves is what served before."
        bench.workers[1] = replace(bench.workers[1], entry=before.number, releases={A.version: tally(500)}, behind=late)

    one_is_late(0)
    assert bench.step(0.0) is None
    assert bench.step(LIMITS.min_stage_s + 1) is None, "to be late is no fault of the release"
    one_is_late(20)
    found = bench.step(1.0)
    assert found is not None
    assert (found.action, found.champion) == ("rollback", A)
    assert "100.0% of 20 requests failed" in found.reason


def test_a_canary_goes_on_only_with_all_workers_and_is_withdrawn_without(bench: Bench) -> None:
    before = say(bench.log, "promote", A)
    state = say(bench.log, "canary", A, (B, 1))

    def one_is_late(new: Tally) -> None:
        bench.all_say(state, {A.version: tally(500), B.version: new})
        bench.workers[1] = replace(
            bench.workers[1], entry=before.number, challenger=None, releases={A.version: tally(500)}
        )

    one_is_late(Tally())
    bench.step(0.0)
    bench.step(LIMITS.min_stage_s + 1)
    one_is_late(tally(500))
    assert bench.step(1.0) is None
    assert bench.step(1000.0) is None
    one_is_late(tally(600, errors=100))
    found = bench.step(1.0)
    assert found is not None
    assert found.action == "withdraw"
    assert "16.7% of 600 requests failed" in found.reason


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("later", ["shadow", "canary", "withdraw"])
def test_a_later_entry_does_not_end_the_watch_over_a_promotion(bench: Bench, later: str, at_once: bool) -> None:
    state = say(bench.log, "promote", A)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    if not at_once:
        assert bench.step(1.0) is None
        bench.all_say(state, {A.version: tally(500), B.version: tally(2, errors=2)})
        assert bench.step(1.0) is None, "4 failures are too few yet, and are not forgotten"
    state = {
        "shadow": lambda: say(bench.log, "shadow", B, shadow=C),
        "canary": lambda: say(bench.log, "canary", B, (C, 1)),
        "withdraw": lambda: say(bench.log, "withdraw", B),
    }[later]()
    bench.all_say(state, {A.version: tally(500), B.version: tally(2, errors=2)})
    assert bench.step(1.0) is None
    bench.all_say(state, {A.version: tally(500), B.version: tally(5, errors=5) if at_once else tally(3, errors=3)})
    found = bench.step(LIMITS.watch_s - 10)
    assert found is not None
    assert (found.action, found.champion, found.challenger) == ("rollback", A, None)
    assert "100.0% of 6 requests failed" in found.reason


def test_what_was_taken_back_to_is_not_taken_back_after_another_entry_in_the_same_second(bench: Bench) -> None:
    state = say(bench.log, "promote", B)
    bench.all_say(state, {B.version: tally(500)})
    bench.step()
    say(bench.log, "rollback", A)
    state = say(bench.log, "shadow", A, shadow=C)
    bench.all_say(state, {A.version: Tally(), B.version: tally(500)})
    bench.step()
    bench.all_say(state, {A.version: tally(60, errors=60), B.version: tally(500)})
    assert bench.step() is None


@pytest.mark.parametrize("what", ["canary", "shadow"])
def test_workers_that_end_after_a_canary_or_a_shadow_began_end_that_and_not_the_promotion(
    bench: Bench, what: str
) -> None:
    state = say(bench.log, "promote", A)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    bench.step()
    state = say(bench.log, "canary", B, (C, 1)) if what == "canary" else say(bench.log, "shadow", B, shadow=C)
    bench.all_say(state, {})
    for death in range(LIMITS.worker_deaths):
        assert bench.step(1.0) is None
        bench.workers[0] = replace(bench.workers[0], pid=100 + death)
    found = bench.step(1.0)
    assert found is not None
    assert (found.action, found.champion, found.challenger, found.shadow) == ("withdraw", B, None, None)
    assert f"{C.version} is withdrawn: 3 worker processes ended" in found.reason


def word(until: str) -> Override:
    return Override(by="A. Mensah", reason="for this term", until=until, given="20260101T000000Z")


def challenge(log: PointerLog, override: Override | None, decision: str | None = "d" * 64) -> State:
    """Begin a canary of B at 50 % beside A, which serves by a decision of its own."""
    mine = Slot(version=A.version, artifact=A.artifact, decision="a" * 64)
    log.append(Change(action="promote", by="a test", reason="try", champion=mine, decision="a" * 64), expected=0)
    other = Challenger(version=B.version, artifact=B.artifact, percent=50)
    change = Change(
        action="challenge",
        by="a test",
        reason="try",
        champion=mine,
        challenger=other,
        decision=decision,
        override=override,
    )
    return log.append(change, expected=1)


def well(bench: Bench, state: State) -> State | None:
    """Have both do well in this stage; return what is written."""
    bench.all_say(state, {A.version: Tally(), B.version: Tally()})
    assert bench.step() is None
    bench.all_say(state, {A.version: tally(500), B.version: tally(500)})
    return bench.step()


@pytest.mark.parametrize("between", ["nothing", "shadow", "withdraw"])
def test_a_canary_is_promoted_by_its_own_decision_and_override_whatever_came_between(
    bench: Bench, between: str
) -> None:
    given = word("2999-01-31")
    state = challenge(bench.log, given)
    for action in {"nothing": [], "shadow": ["shadow"], "withdraw": ["shadow", "withdraw"]}[between]:
        change = Change(
            action=action,  # type: ignore[arg-type]  # of a list above
            by="a test",
            reason="try",
            champion=state.champion,
            challenger=state.challenger,
            shadow=C if action == "shadow" else None,
        )
        state = bench.log.append(change, expected=state.number)
    bench.supervisor.step()
    found = well(bench, state)
    assert found is not None
    assert (found.action, found.champion, found.decision, found.override) == ("promote", B, "d" * 64, given)
    last = bench.log.latest()
    assert last is not None
    assert last.champion is not None
    assert (last.champion.decision, last.champion.override) == ("d" * 64, given)
    bench.all_say(found, {A.version: tally(500), B.version: tally(600, errors=100)})
    back = bench.step()
    assert back is not None
    assert (back.action, back.champion, back.decision, back.override) == ("rollback", A, "a" * 64, None)


def test_a_canary_whose_override_expired_is_withdrawn_and_not_promoted(bench: Bench) -> None:
    state = challenge(bench.log, word("2020-01-31"))
    found = well(bench, state)
    assert found is not None
    assert (found.action, found.champion, found.challenger) == ("withdraw", A, None)
    assert "override by A. Mensah EXPIRED on 2020-01-31" in found.reason


@pytest.mark.parametrize(
    ("outcome", "override", "told"),
    [
        ("pass", None, ""),
        ("stop", None, "the gate stops it: the gap is too large"),
        ("stop", word("2999-01-31"), ""),
        ("stop", word("2020-01-31"), "the gate stops it: the gap is too large"),
    ],
)
def test_what_was_decided_last_on_a_challenger_is_asked_before_it_goes_on(
    tmp_path: Path, outcome: Any, override: Override | None, told: str
) -> None:
    store = Store(tmp_path / "store")
    permission = Permission(store, "app")
    assert permission(B) == "", "nothing was decided on it"
    finding = Finding(check="groups", subject="all", measure="", outcome=outcome, reason="the gap is too large")
    decision = Decision(
        application="app", version=B.version, promote=False, reason="", findings=(finding,), override=override
    )
    DecisionRecords(store).add(decision)
    assert permission(B) == told
    assert permission(A) == ""
    assert "EXPIRED" in permission(replace(A, override=word("2020-01-31")))


def test_entries_from_before_slots_had_decisions_are_read_and_kept(bench: Bench) -> None:
    state = challenge(bench.log, word("2999-01-31"))
    value = state.to_json()
    for name in ("champion", "challenger"):
        slot_value = value[name]
        assert isinstance(slot_value, dict)
        slot_value.pop("decision", None)
        slot_value.pop("override", None)
    old = State.from_json(json.loads(json.dumps(value)))
    assert old.challenger is not None
    assert old.champion is not None
    assert (old.challenger.decision, old.challenger.override) == ("d" * 64, word("2999-01-31"))
    assert (old.champion.decision, old.champion.override) == (None, None)


def test_a_promotion_is_watched_only_for_its_time(bench: Bench) -> None:
    state = say(bench.log, "promote", A)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    bench.step()
    bench.all_say(state, {A.version: tally(500), B.version: tally(60, errors=30)})
    assert bench.step(LIMITS.watch_s + 1) is None


def test_a_promoted_release_that_takes_workers_down_is_taken_back(bench: Bench) -> None:
    state = say(bench.log, "promote", A)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.step()
    bench.all_say(state, {A.version: tally(500), B.version: tally(1)})
    for death in range(LIMITS.worker_deaths):
        assert bench.step(1.0) is None, f"{death} deaths"
        bench.workers[0] = replace(bench.workers[0], pid=100 + death)
    found = bench.step(1.0)
    assert found is not None
    assert (found.action, found.champion) == ("rollback", A)
    assert "3 worker processes ended since, 2 are there" in found.reason


def test_a_release_that_takes_all_workers_down_while_it_loads_is_taken_back(bench: Bench) -> None:
    state = say(bench.log, "promote", A)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    say(bench.log, "promote", B)
    bench.step(1.0)
    bench.workers = []
    assert bench.step(LIMITS.silence_s - 1) is None
    found = bench.step(2.0)
    assert found is not None
    assert (found.action, found.champion) == ("rollback", A)
    assert "2 worker processes ended since, 0 are there" in found.reason


def test_one_worker_that_dies_is_no_reason(bench: Bench) -> None:
    state = say(bench.log, "promote", A)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    bench.step()
    bench.workers = bench.workers[:1]
    assert bench.step(100.0) is None
    bench.workers.append(replace(bench.workers[0], pid=77))
    assert bench.step(100.0) is None


def test_where_somebody_else_was_first_theirs_counts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    say(bench.log, "promote", A)
    state = say(bench.log, "canary", A, (B, 50))
    bench.all_say(state, {A.version: Tally(), B.version: Tally()})
    bench.step()
    bench.all_say(state, {A.version: tally(500), B.version: tally(500)})
    real = PointerLog.append

    def later(log: PointerLog, change: Change, *, expected: int) -> State:
        monkeypatch.setattr(PointerLog, "append", real)
        say(log, "promote", C)
        return real(log, change, expected=expected)

    monkeypatch.setattr(PointerLog, "append", later)
    assert bench.step() is None
    last = bench.log.latest()
    assert last is not None
    assert (last.champion, last.by) == (C, "a test")


def test_counts_go_on_when_a_worker_dies_or_loads_a_release_anew(bench: Bench) -> None:
    state = say(bench.log, "promote", A)
    counts = Counts()
    bench.all_say(state, {"v": tally(10)})
    counts.read(bench.workers)
    then = counts.totals()
    first, second = bench.workers
    counts.read([first, replace(second, pid=9, releases={"v": tally(3)})])
    assert since(counts.totals(), then, "v").requests == 3
    counts.read([replace(first, releases={"v": tally(2)})])  # loaded again: 10 ended, 2 new
    assert since(counts.totals(), then, "v").requests == 5
    assert since(counts.totals(), then, "w").requests == 0


def test_limits_are_read_strictly() -> None:
    assert Limits().with_values(["min_requests=7", "error_rate=0.5"]) == Limits(min_requests=7, error_rate=0.5)
    for text, told in (("min=1", "no limit 'min'"), ("min_requests=1.5", "expected a number"), ("error_rate", "''")):
        with pytest.raises(ConfigError, match=told):
            Limits().with_values([text])
    for values in ({"min_requests": 0}, {"error_rate": -0.1}, {"score_shift": float("nan")}):
        with pytest.raises(ConfigError, match="expected a number that is not negative"):
            replace(Limits(), **values)


def worker(pid: int, release: str | None, *, ready: bool = True, behind: str = "") -> dict[str, object]:
    return {"pid": pid, "release": release, "ready": ready, "reason": "", "behind": behind, "entry": pid}


def answers(*workers: list[dict[str, object]]) -> Callable[[], dict[str, object]]:
    left = list(workers)
    return lambda: {"workers": left.pop(0) if len(left) > 1 else left[0]}


def test_waiting_ends_when_all_workers_have_it_and_otherwise_says_which_have_not() -> None:
    clock = iter(range(1000))

    def now() -> float:
        return float(next(clock))

    later = answers([worker(1, "a"), worker(2, "b")], [worker(1, "b"), worker(2, "b", ready=False)], [worker(1, "b")])
    assert wait_until_live(later, "b", 10, clock=now, sleep=lambda s: None) == 1
    never = answers([worker(1, "b"), worker(2, "a", behind="It cannot be loaded.")])
    with pytest.raises(
        ServerStartError, match=r"b is not live .*: worker 2 answers with a, by entry 2 \(It cannot be loaded\.\)"
    ):
        wait_until_live(never, "b", 5, clock=now, sleep=lambda s: None)

    with pytest.raises(ServerStartError, match="worker 1 answers with b, by entry 1"):
        wait_until_live(answers([worker(1, "b"), worker(2, "b")]), "b", 5, entry=2, clock=now, sleep=lambda s: None)

    def nobody() -> dict[str, object]:
        raise ConnectionRefusedError

    with pytest.raises(ServerStartError, match=r"could not be asked \(ConnectionRefusedError\)"):
        wait_until_live(nobody, "b", 5, clock=now, sleep=lambda s: None)

    def unknown() -> dict[str, object]:
        raise urllib.error.URLError(ssl.SSLCertVerificationError("certificate verify failed: self-signed"))

    with pytest.raises(ServerStartError, match=r"could not be asked \(.*certificate verify failed"):
        wait_until_live(unknown, "b", 5, clock=now, sleep=lambda s: None)


def test_a_release_that_is_gone_is_not_gone_back_to(bench: Bench, tmp_path: Path) -> None:
    """As one that was erased meanwhile: the log would say what nobody can answer with."""
    store = Store(tmp_path / "releases")
    kept, gone = (release(store, digit * 12) for digit in "ab")
    shutil.rmtree(tmp_path / "releases" / "artifacts" / gone.sha256)
    missing = missing_from(store)
    assert missing(Slot(version=kept.version, artifact=kept.sha256)) == ""
    assert "no manifest is there" in missing(Slot(version=gone.version, artifact=gone.sha256))

    told = {A.version: "it is gone"}
    bench.supervisor = Supervisor(
        bench.log, lambda: bench.workers, LIMITS, by="s", missing=lambda one: told[one.version], clock=lambda: bench.now
    )
    bench.all_say(say(bench.log, "promote", A), {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: Tally()})
    bench.step()
    bench.all_say(state, {A.version: tally(500), B.version: tally(60, errors=3)})
    assert bench.step() is None
    last = bench.log.latest()
    assert last is not None
    assert last.champion == B


def test_a_promoted_release_is_compared_with_what_the_one_before_did_lately(tmp_path: Path) -> None:
    """The requests drifted half-way, and the new release was trained on what they are now: it scores as they do now."""
    bench = Bench(tmp_path)
    state = say(bench.log, "promote", A)
    usual, drifted = tally(2000, mean=0.3), tally(600, mean=0.8)
    bench.all_say(state, {A.version: usual})
    bench.step(100.0)
    bench.all_say(state, {A.version: usual.plus(drifted)})
    bench.step(100.0)
    shift = effect_size(tally(150, mean=0.8).scores, usual.plus(drifted).scores)
    assert shift > LIMITS.score_shift, "compared with its whole time, it would be taken back"
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: usual.plus(drifted), B.version: tally(0)})
    assert bench.step() is None
    bench.all_say(state, {A.version: usual.plus(drifted), B.version: tally(150, mean=0.8)})
    assert bench.step() is None
    bench.all_say(state, {A.version: usual.plus(drifted), B.version: tally(150, mean=0.3)})
    taken_back = bench.step()
    assert taken_back is not None
    assert (taken_back.action, taken_back.champion) == ("rollback", A)
