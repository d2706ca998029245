"""`reference.json` of a release: the held-out answers as a service gives them, and nothing of a student."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.monitoring.reference import MIN_STUDENTS, Reference
from flows.knowledge_tracing.requests import held_out_requests
from flows.operations import run_request
from flows.request import RunRequest
from flows.settings import Settings
from flows.summary import RunSummary
from flows.watching.records import WatchRecords
from flows.watching.watch import Look, Watch
from serving.live import go_live
from serving.monitor_metrics import LAST_WATCH
from serving.settings import ServiceSettings
from serving.slots import Server, Slots
from serving.status import status_of
from tests.conftest import Released

pytestmark = pytest.mark.slow


def read(released: Released) -> tuple[Reference, dict[str, Any], Path, Path]:
    outcome, store = released.summary.outcome, released.store
    body = (store.folder(outcome.release) / "reference.json").read_text()
    plain: dict[str, Any] = json.loads(body)
    return Reference.from_json(plain), plain, store.folder(outcome.logs), store.folder(outcome.evaluation)


def test_its_figures_are_those_of_the_evaluations_own_answers(released: Released) -> None:
    reference, _, _, evaluation = read(released)
    scored = pl.read_parquet(evaluation / "predictions.parquet").filter("scored")
    assert reference.requests == min(2000, scored.height)  # ReleaseConfig's
    assert reference.students <= scored["student"].n_unique()
    found = reference.signals["probability"]
    # The evaluation asked the torch model, whole sequences at once; the reference is a draw of its answers.
    tolerance = 1e-4 if scored.height <= 2000 else 3 * found.sd / np.sqrt(2000)
    assert found.mean == pytest.approx(float(scored["probability"].mean()), abs=tolerance)  # type: ignore[arg-type]  # polars types means broadly
    assert set(reference.signals) == {"probability", "history", "right_in_history", "new_in_history", "new_candidates"}
    assert found.values == reference.requests
    assert sum(found.counts) == found.values


def test_a_request_is_what_came_before_an_answer(released: Released) -> None:
    _, _, logs, evaluation = read(released)
    from flows.knowledge_tracing.codec import Codec

    codec = Codec(items=("i",), skills=("s",), max_skills=2, max_len_steps=5)
    found = held_out_requests(logs, evaluation, codec, 50, 0)
    assert len(found) == 50
    steps = pl.read_parquet(logs / "interactions.parquet")
    for student, request in found[:10]:
        own = steps.filter(pl.col("student") == student)
        items = own["item"].to_list()
        past = [step.item for step in request.history]
        places = [at for at in range(len(items)) if items[max(0, at - 5) : at] == past]
        assert request.candidates[0].item in {items[at] for at in places}
        assert len(past) <= 5


@pytest.mark.parametrize("fixture", ["released", "released_essays"])
def test_it_holds_no_student_no_text_and_no_small_bin(fixture: str, request: pytest.FixtureRequest) -> None:
    released: Released = request.getfixturevalue(fixture)
    reference, plain, logs, _ = read(released)
    assert reference.signals
    body = json.dumps(plain)
    students = pl.read_parquet(logs / "students.parquet")["student"].to_list()
    assert not any(student in body for student in students)
    for one in reference.signals.values():
        assert one.students >= MIN_STUDENTS
        assert min(one.counts) >= MIN_STUDENTS
    assert {type(value) for value in _leaves(plain["signals"])} <= {int, float}


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        return [leaf for one in (value.values() if isinstance(value, dict) else value) for leaf in _leaves(one)]
    return [value]


def test_writing_has_signals_of_each_prompt(released_essays: Released) -> None:
    reference, _, _, evaluation = read(released_essays)
    human = pl.read_parquet(evaluation / "predictions.parquet")
    for prompt in human["prompt"].unique():
        for kind in ("words", "unknown_words", "score", "withheld"):
            assert f"{kind}[{prompt}]" in reference.signals
        assert 0.0 < reference.signals[f"score[{prompt}]"].mean < 1.0
        assert reference.signals[f"words[{prompt}]"].mean > 10.0


def test_a_drift_of_a_real_release_ends_in_a_run_that_says_why(released: Released, tmp_path: Path) -> None:
    shutil.copytree(released.untouched, tmp_path / "store")
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys)
    store = settings.open_store()
    release = store.find(released.summary.outcome.release.sha256)
    live = go_live(ServiceSettings(), store.folder(release))
    assert live.monitor is not None
    assert live.bundle is not None
    bundle, monitor, counts = live.bundle, live.monitor, live.tally.signals
    outcome = released.summary.outcome
    asked = held_out_requests(store.folder(outcome.logs), store.folder(outcome.evaluation), bundle.codec, 600, 0)
    status = tmp_path / "status"
    status.mkdir()

    def ran(request: RunRequest) -> RunSummary:
        return run_request(request, settings)

    watch = Watch(application="knowledge_tracing", store=store, status=status, run=ran)

    def answered(turned: bool) -> list[tuple[str, Any, Any]]:
        """Return the requests, right and wrong turned about or not, with their answers."""
        found = []
        for student, one in asked:
            history = [{"correct": float(s.correct != turned), "item": s.item, "skills": s.skills} for s in one.history]
            candidates = [{"item": c.item, "skills": c.skills} for c in one.candidates]
            found.append((student, bundle.requests.read_plain({"history": history, "candidates": candidates})))
        answers = [a for at in range(0, 600, 50) for a in bundle.answer([one for _, one in found[at : at + 50]])]
        return [(name, one, bundle.answers.plain(a)) for (name, one), a in zip(found, answers, strict=True)]

    def served(pairs: list[tuple[str, Any, Any]], times: int) -> list[Look]:
        """Serve them to new students, time and again, and look after each."""
        looks = []
        for _ in range(times):
            school = next(schools)
            for student, one, answer in pairs:
                monitor.count(counts, [one], [answer], f"{school} {student}")
            (status / "1.json").write_text(json.dumps(status_of(Server(Slots(champion=live))).to_json()))
            looks.append(watch.look())
        return looks

    schools = itertools.count()
    usual = served(answered(turned=False), 25)
    assert all(not one.drifts for one in usual)
    assert len(usual[-1].windows) >= 4
    looks = served(answered(turned=True), 25)
    (began,) = (one for one in looks if one.run is not None)
    drift, after = WatchRecords(store, "knowledge_tracing").all()[:2]
    assert drift["action"] == "run"
    assert "right_in_history" in drift["why"]
    record = store.read_record(f"runs/knowledge_tracing/{began.run}.json")
    assert record["request"]["reason"] == f"{drift['why']} (alarm 1)"
    assert drift["why"].replace("'", "&#39;") in Path(record["report"]).read_text()
    assert after["run"] == began.run
    assert "the logs have not changed since" in began.told  # every stage was skipped
    students = pl.read_parquet(store.folder(outcome.logs) / "students.parquet")["student"].to_list()
    left = (status / LAST_WATCH).read_text() + json.dumps([drift, after])
    assert not any(student in left for student in students)
