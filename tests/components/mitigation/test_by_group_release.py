"""A release with a map for each group: training, evaluation, batch scoring and the service give the same answers."""

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from components.app import load_application
from components.deploy.config import DeployConfig
from components.errors import ConfigError
from components.mitigation.groups import CAUTION
from components.schema import INTERACTIONS, PREDICTIONS, SKILL_SETS, STUDENTS
from components.simulate.config import SimulateConfig, SimulatedGroup
from components.simulate.stage import simulate
from components.stage import Runner
from flows.comparing import findings_beside
from flows.contract.released import Released, own_settings, release_application
from flows.knowledge_tracing.requests import held_out_requests
from flows.mitigation import comparisons_of
from flows.scoring import score_logs
from serving.bundle import Bundle
from serving.health import golden_problems
from serving.http import Api
from serving.live import go_live
from serving.settings import ServiceSettings
from tests import conftest

pytestmark = pytest.mark.slow
GROUPS = (
    SimulatedGroup(name="a", share=0.45),
    SimulatedGroup(name="b", share=0.5, extra_slip=0.25),
    SimulatedGroup(name="c", share=0.05),  # too small for a map of its own
)
OVERRIDES = (
    "train.max_epochs=2",
    "evaluate.resamples=50",
    "fairness.resamples=50",
    "fairness.max_auc_gap=0.3",
    "fairness.max_calibration_gap=0.3",
    "preprocess.valid_share=0.3",
    "preprocess.map_groups.by=group",
    "preprocess.map_groups.min_students=15",
    "train.postprocess.kind=affine_by_group",
)


@dataclass(frozen=True)
class Mapped:
    """A finished run, and its release as a service loads it."""

    run: Released
    bundle: Bundle

    def report(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.bundle.manifest.read(name)))


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    home = tmp_path_factory.mktemp("by-group")
    settings = own_settings(home)
    store = settings.open_store()
    config = SimulateConfig(students=300, seed=1, answers_min=20, answers_max=40, groups=GROUPS)
    made = Runner(store)(simulate, config)
    logs = Path(shutil.copyfile(store.folder(made) / "answers.parquet", home / "district.parquet"))
    run = release_application("knowledge_tracing", logs, settings, overrides=OVERRIDES)
    return Mapped(run, run.bundle())


def test_evaluation_scoring_and_the_service_give_the_same_answers(mapped: Mapped) -> None:
    store, outcome, bundle = mapped.run.store, mapped.run.summary.outcome, mapped.bundle
    kept = pl.read_parquet(store.folder(outcome.evaluation) / PREDICTIONS)
    logs = store.folder(outcome.logs)
    scorer = load_application("knowledge_tracing").part("flows.knowledge_tracing.scoring:score_logs")
    scored = scorer(logs, bundle.codec, bundle.session.run, "all", kept["student"])
    both = kept.join(scored.select("student", "position", served="probability"), on=["student", "position"])
    assert both.height == kept.height > 1_000
    assert np.abs(both["probability"].to_numpy() - both["served"].to_numpy()).max() < 1e-5

    groups = dict(pl.read_parquet(logs / STUDENTS).select("student", "group").iter_rows())
    steps = pl.read_parquet(logs / INTERACTIONS).join(pl.read_parquet(logs / SKILL_SETS), on="skill_set")
    last = {row["student"]: row for row in scored.sort("student", "position").iter_rows(named=True)}
    request = bundle.codec.request_class  # type: ignore[attr-defined]
    module = __import__("sys").modules[type(bundle.codec).__module__]
    asked, offline, seen = [], [], set()
    for student, row in last.items():
        own = steps.filter(pl.col("student") == student).sort("position").to_dicts()
        history = tuple(
            module.Step(correct=float(one["correct"]), item=one["item"], skills=tuple(one["skills"]))
            for one in own[:-1]
        )
        candidate = module.Candidate(item=own[-1]["item"], skills=tuple(own[-1]["skills"]))
        asked.append(request(candidates=(candidate,), history=history, group=groups[student]))
        offline.append(row["probability"])
        seen.add(groups[student])
    answers = bundle.answer(asked)  # of all groups in one batch
    served = [answer.predictions[0].probability for answer in answers]
    assert seen == {"a", "b", "c"}
    assert served == pytest.approx(offline, abs=1e-5)
    for one, answer in zip(asked, answers, strict=True):
        assert ("new_group" in answer.flags) == (one.group == "c")


def test_the_reference_of_monitoring_is_of_answers_by_each_students_own_map(mapped: Mapped) -> None:
    store, outcome, bundle = mapped.run.store, mapped.run.summary.outcome, mapped.bundle
    evaluation = store.folder(outcome.evaluation)
    kept = pl.read_parquet(evaluation / PREDICTIONS).filter("scored").sort("student", "position")
    asked = held_out_requests(store.folder(outcome.logs), evaluation, bundle.codec, kept.height, 0)  # all of them
    assert [student for student, _ in asked] == kept["student"].to_list()
    served = [
        answer.predictions[0].probability
        for at in range(0, len(asked), 100)
        for answer in bundle.answer([one for _, one in asked[at : at + 100]])
    ]
    # The evaluation asked the torch model, whole sequences at once.
    assert served == pytest.approx(kept["probability"].to_list(), abs=1e-5)
    drawn = mapped.report("reference.json")["signals"]["probability"]
    tolerance = 1e-5 if kept.height <= 2000 else 3 * drawn["sd"] / np.sqrt(2000)
    assert drawn["mean"] == pytest.approx(float(kept["probability"].mean()), abs=tolerance)  # type: ignore[arg-type]  # polars types means broadly


def test_another_group_is_another_map_and_none_is_everybodys(mapped: Mapped) -> None:
    told, bundle = mapped.report("metrics.json")["mitigation"], mapped.bundle
    assert [one["group"] for one in told["groups"]] == ["a", "b"]
    maps = {one["group"]: (one["slope"], one["intercept"]) for one in told["groups"]}
    module = __import__("sys").modules[type(bundle.codec).__module__]
    candidate = module.Candidate(item="q1", skills=("s1",))

    def logit(group: str | None) -> float:
        asked = module.RequestWithGroup(candidates=(candidate,), group=group)
        p = bundle.answer([asked])[0].predictions[0].probability
        return float(np.log(p / (1.0 - p)))

    blind = (told["slope"], told["intercept"])
    raw = (logit(None) - blind[1]) / blind[0]
    for group, (slope, intercept) in {**maps, "c": blind, "nobody knows": blind}.items():
        assert logit(group) == pytest.approx(slope * raw + intercept, abs=1e-4), group
    assert abs(maps["a"][1] - maps["b"][1]) > 0.05  # as planted


def test_its_maps_take_the_gap_of_calibration_away_on_the_same_resamples(mapped: Mapped) -> None:
    told = mapped.report("metrics.json")["mitigation"]
    groups = mapped.report("fairness.json")["mitigation"]
    assert (groups["kind"], groups["by"]) == ("affine_by_group", "group")
    own = {one["group"]: one for one in groups["attributes"]["group"]["groups"]}
    assert set(own) == {"a", "b"}
    before, after = (own["a"][t]["calibration"]["value"] - own["b"][t]["calibration"]["value"] for t in
                     ("before", "after"))  # fmt: skip
    assert abs(after) < abs(before)
    for one in own.values():  # a map of a group's own keeps the order of its answers
        assert one["before"]["auc"] == pytest.approx(one["after"]["auc"], abs=0.0011)
    (shown,) = comparisons_of({"mitigation": told}, {"mitigation": groups})
    assert CAUTION in shown["sentence"]
    assert {"auc", "calibration"} <= {row["measure"] for row in shown["rows"]}


def test_the_caution_is_in_the_card_the_summary_the_gate_and_the_runs_warnings(mapped: Mapped) -> None:
    assert CAUTION in mapped.bundle.card
    assert "| any other, or none |" in mapped.bundle.card
    summary = mapped.run.summary.to_json()
    assert CAUTION in summary["comparisons"][0]["sentence"]
    assert CAUTION in mapped.report("metrics.json")["warnings"]
    assert CAUTION in [one["reason"] for one in summary["gate"]["findings"] if one["outcome"] == "warn"]
    store = mapped.run.store
    assert CAUTION in (store.folder(mapped.run.summary.outcome.release) / "card.html").read_text(encoding="utf-8")


def test_no_small_group_is_named_in_the_release(mapped: Mapped) -> None:
    codec = mapped.report("codec.json")
    assert (codec["group_by"], codec["groups"]) == ("group", ["a", "b"])
    assert {one.request.group for one in mapped.bundle.golden} == {"a", "b", None, "a new group"}
    assert golden_problems(mapped.bundle) == ()


def openapi_of(folder: Path) -> tuple[dict[str, Any], list[httpx.Response]]:
    """Return the API page of a release's service, and its replies to a request with a group and to one of a list."""
    live = go_live(ServiceSettings(release=folder))
    app = Api(live)

    async def talk() -> tuple[dict[str, Any], list[httpx.Response]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            page = (await client.get("/openapi.json")).json()
            asked = [{"candidates": [{"skills": ["s1"]}], "group": g} for g in ("a", 7)]
            return page, [await client.post("/predict", json=one) for one in asked]

    try:
        return asyncio.run(talk())
    finally:
        live.close()


def test_only_its_service_asks_for_a_group(mapped: Mapped, released: conftest.Released) -> None:
    page, (good, bad) = openapi_of(mapped.run.store.folder(mapped.run.summary.outcome.release))
    schema = page["components"]["schemas"]["RequestWithGroup"]
    assert set(schema["properties"]) == {"candidates", "history", "group"}
    assert schema["required"] == ["candidates"]
    assert "Law or policy may forbid" in schema["description"]
    assert good.status_code == 200
    assert bad.status_code == 400
    assert bad.json()["problems"][0]["path"] == "group"

    plain, (ignored, _) = openapi_of(released.store.folder(released.summary.outcome.release))
    assert set(plain["components"]["schemas"]["Request"]["properties"]) == {"candidates", "history"}
    assert "RequestWithGroup" not in plain["components"]["schemas"]
    assert ignored.status_code == 200, "clients go on to send it when such a release is taken back"


def test_logs_without_the_attribute_are_refused(mapped: Mapped, tmp_path: Path) -> None:
    settings = mapped.run.settings
    pl.read_parquet(mapped.run.logs).drop("group_group").write_parquet(tmp_path / "bare.parquet")
    version = mapped.run.summary.outcome.release.version
    with pytest.raises(ConfigError, match=r"This release maps answers by 'group', which the logs do not have"):
        score_logs(version, [str(tmp_path / "bare.parquet")], tmp_path / "out.parquet", "all", settings)
    assert not (tmp_path / "out.parquet").exists()
    with pytest.raises(ConfigError, match=r"map_groups\.by is 'sex', which the logs do not have"):
        release_application(
            "knowledge_tracing", mapped.run.logs, settings, overrides=(*OVERRIDES, "preprocess.map_groups.by=sex")
        )


def test_it_is_compared_with_a_champion_as_any_other(mapped: Mapped) -> None:
    run = mapped.run
    found = findings_beside(
        run.store,
        load_application("knowledge_tracing"),
        run.summary.outcome,
        mapped.bundle,  # itself
        signing_key=run.settings.read_signing_key(),
        config=DeployConfig(compare_resamples=50),
    )
    assert [one.subject for one in found] == ["all", "worst group"]
    assert all(one.value == 0.0 and one.outcome == "pass" for one in found)
    auc = run.summary.outcome.evaluation.metrics["auc"]
    assert f"auc {auc:.4f} against" in found[0].reason
