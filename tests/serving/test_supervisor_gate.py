"""What the gate says while the supervisor moves pointers: of a release that would come back, and of a challenger."""

from pathlib import Path

import pytest

from components.errors import StoreError
from components.gate.decision import Decision, Finding
from components.gate.override import Override
from components.gate.records import DecisionRecords
from components.store import Store
from serving.registry import Change, Slot, State
from serving.supervise.permission import Permission
from tests.serving.releasing import say
from tests.serving.supervising import LIMITS, A, B, Bench, tally, worker_at

EXPIRED = Override(by="A. Mensah", reason="for this term", until="2020-01-31", given="20200101T000000Z")
COUNTS = Override(by="A. Mensah", reason="for this term", until="2999-01-31", given="20200101T000000Z")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def by_override(bench: Bench, override: Override) -> State:
    """Have A serve by a person's word, then B."""
    champion = Slot(version=A.version, artifact=A.artifact)
    change = Change(action="promote", by="a test", reason="try", champion=champion, override=override)
    state = bench.log.append(change, expected=0)
    bench.all_say(state, {A.version: tally(500)})
    bench.step()
    state = say(bench.log, "promote", B)
    bench.all_say(state, {A.version: tally(500), B.version: tally(0)})
    assert bench.step() is None
    return state


def fail(bench: Bench, state: State, errors: int, of: int = 100) -> State | None:
    bench.all_say(state, {A.version: tally(500), B.version: tally(of, errors=errors)})
    return bench.step()


def test_a_former_release_whose_override_counts_comes_back_by_it(bench: Bench) -> None:
    found = fail(bench, by_override(bench, COUNTS), 10)
    assert found is not None
    assert (found.action, found.champion, found.override) == ("rollback", A, COUNTS)
    assert "although" not in found.reason


def test_one_whose_override_expired_does_not_come_back_while_the_new_one_answers(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    state = by_override(bench, EXPIRED)
    assert fail(bench, state, 10) is None
    assert fail(bench, state, 20) is None
    last = bench.log.latest()
    assert last is not None
    assert last.champion == B
    told = [record.getMessage() for record in caplog.records if "may not come back" in record.getMessage()]
    assert len(told) == 1, "it is said once, not every second"
    assert f"{A.version} may not come back: its override by A. Mensah EXPIRED on 2020-01-31" in told[0]
    assert "10.0% of 200 requests failed" in told[0]


def test_it_comes_back_where_nothing_else_answers_and_the_entry_says_so(bench: Bench) -> None:
    state = by_override(bench, EXPIRED)
    assert fail(bench, state, 99) is None, "one of a hundred is answered"
    bench.workers = []
    bench.step(1.0)
    found = bench.step(LIMITS.silence_s + 1)
    assert found is not None
    assert (found.action, found.champion, found.override) == ("rollback", A, EXPIRED)
    assert "2 worker processes ended since, 0 are there" in found.reason
    assert f"; {A.version} comes back although its override by A. Mensah EXPIRED on 2020-01-31" in found.reason
    assert found.reason.endswith("as nothing else answers")


def test_it_comes_back_where_every_request_failed(bench: Bench) -> None:
    found = fail(bench, by_override(bench, EXPIRED), 3, of=3)
    assert found is not None
    assert found.champion == A
    assert "100.0% of 6 requests failed" in found.reason
    assert "although its override" in found.reason


def test_what_the_gate_decided_on_the_former_since_bars_it_and_so_does_a_decision_that_cannot_be_read(
    tmp_path: Path,
) -> None:
    for is_readable in (True, False):
        folder = tmp_path / f"store-{is_readable}"
        bench, store = Bench(folder), Store(folder)
        bench.supervisor = bench.supervise(forbidden=Permission(store, "app"))
        state = bench.promoted(A, B, tally(500))
        finding = Finding(check="gap", subject="all", measure="", outcome="stop", reason="the gap is too large")
        decision = Decision(application="app", version=A.version, promote=False, reason="", findings=(finding,))
        damage(store, DecisionRecords(store).add(decision), not is_readable)
        assert fail(bench, state, 10) is None
        bench.workers = [worker_at(state, {B.version: tally(1)}, 9)]
        bench.step(1.0)
        bench.workers = []
        found = bench.step(LIMITS.silence_s + 2)
        assert found is not None
        assert found.champion == A
        told = "the gate stops it: the gap is too large" if is_readable else "decision on it cannot be read"
        assert told in found.reason


def damage(store: Store, decision: Decision, wanted: bool = True) -> None:
    """Leave half of a decision's record."""
    path = f"records/releases/app/decisions/{decision.version}/{decision.decided}.json"
    body = store.place.get_bytes(path)
    assert body is not None
    if wanted:
        store.place.put_bytes(path, body[: len(body) // 2])


def due_canary(bench: Bench) -> None:
    """Have a canary of B at 10 % do well enough to go on."""
    say(bench.log, "promote", A)
    state = say(bench.log, "canary", A, (B, 10))
    bench.all_say(state, {A.version: tally(0), B.version: tally(0)})
    assert bench.step() is None
    bench.all_say(state, {A.version: tally(500), B.version: tally(500)})


def test_a_canary_whose_decision_cannot_be_read_is_withdrawn_in_the_end(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")
    bench.supervisor = bench.supervise(forbidden=Permission(store, "app"))
    found = Finding(check="level", subject="all", measure="auc", outcome="pass", reason="auc is 0.75")
    decision = Decision(application="app", version=B.version, promote=False, reason="", findings=(found,))
    damage(store, DecisionRecords(store).add(decision))
    due_canary(bench)
    assert bench.step() is None
    assert bench.step(LIMITS.silence_s - 1) is None
    written = bench.step(2.0)
    assert written is not None
    assert (written.action, written.champion, written.challenger) == ("withdraw", A, None)
    assert f"{B.version} is withdrawn at 10 %: for 31 s nobody could say what the gate found" in written.reason
    assert len([one for one in caplog.records if "cannot go on" in one.getMessage()]) == 1


def test_one_that_can_be_read_again_goes_on(bench: Bench) -> None:
    answers: list[str | None] = [None, None, ""]

    def forbidden(slot: Slot) -> str:
        found = answers.pop(0)
        if found is None:
            raise StoreError("gone")
        return found

    bench.supervisor = bench.supervise(forbidden=forbidden)
    due_canary(bench)
    assert bench.step() is None
    assert bench.step(LIMITS.silence_s - 1) is None
    written = bench.step(LIMITS.silence_s)
    assert written is not None
    assert written.challenger is not None
    assert (written.action, written.challenger.percent) == ("canary", 50)
