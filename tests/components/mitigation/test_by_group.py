"""Maps of the answers by group: how they are fitted, who has one, what the codec and the graph make of a group."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from components.app import GroupCodec, load_application
from components.config import make_config
from components.errors import ConfigError, NotEnoughDataError
from components.export.graph import check_axes, write_onnx
from components.mitigation.affine import fit_by_group
from components.mitigation.attributes import values_of
from components.mitigation.config import MapGroupsConfig, PostprocessConfig
from components.mitigation.groups import CAUTION, disagreement, groups_to_map, with_groups
from components.mitigation.postprocess import by_group_json, postprocess_of, write_postprocess
from components.train.fit import check_postprocess
from flows.knowledge_tracing.codec import Candidate, Codec, Request, RequestWithGroup, Step
from flows.knowledge_tracing.config import DktConfig
from flows.knowledge_tracing.model import DeepKnowledgeTracing
from serving.errors import BadRequestError
from serving.requests import readers, requests_of
from trainer.seed import isolated_rng

PLAIN = Codec(items=("i1", "i2"), skills=("s1", "s2", "s3"), max_skills=2, max_len_steps=6)
GROUPED = PLAIN.with_groups("gender", ["f", "m"])
BY_GROUP = asdict(PostprocessConfig(kind="affine_by_group"))


def reference(
    logit: npt.NDArray[np.float64], label: npt.NDArray[np.float64], own: npt.NDArray[np.bool_]
) -> list[float]:
    found = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(logit[own, None], label[own])
    return [float(found.coef_[0, 0]), float(found.intercept_[0])]


def test_each_group_has_the_map_of_its_own_answers_and_a_small_one_that_of_everybody() -> None:
    source = np.random.default_rng(3)
    group = np.repeat([0, 1, 2, 3, 4], [150, 900, 700, 120, 260])
    logit = source.normal(0.3, 1.2, len(group))
    truth = np.choose(np.minimum(group, 2), [logit, 0.5 * logit - 0.8, 1.3 * logit + 0.6])
    label = (source.random(len(group)) < 1.0 / (1.0 + np.exp(-truth))).astype(np.float64)
    label[group == 4] = 1.0  # of one class: nothing to fit
    everybody, (first, second, small, constant) = fit_by_group(logit, label, group, 4, min_scored=200)
    blind = reference(logit, label, np.ones(len(group), np.bool_))
    assert [everybody.slope, everybody.intercept] == pytest.approx(blind, abs=1e-5)
    for its, g in ((first, 1), (second, 2)):
        assert its.is_fitted
        assert [its.slope, its.intercept] == pytest.approx(reference(logit, label, group == g), abs=1e-5)
    for its in (small, constant):
        assert not its.is_fitted
        assert (its.slope, its.intercept) == (everybody.slope, everybody.intercept)
    assert small.reason == "the group has 120 scored answers, min_scored asks for 200"
    assert "0 are of the rarer class" in constant.reason


def test_where_not_even_everybodys_map_is_fitted_no_groups_is() -> None:
    source = np.random.default_rng(0)
    logit = source.normal(size=1_000)
    label = (source.random(1_000) < 0.5).astype(np.float64)  # not ranked at all
    group = np.where(np.arange(1_000) < 400, 1, 2)
    label[group == 1] = (source.random(400) < 1.0 / (1.0 + np.exp(-3.0 * logit[group == 1]))).astype(np.float64)
    label[group == 2] = 1.0 - label[group == 2] * (logit[group == 2] > 0)  # turned round
    everybody, found = fit_by_group(logit, label, group, 2, min_scored=2_000)
    assert not everybody.is_fitted
    assert [(its.is_fitted, its.slope, its.intercept) for its in found] == [(False, 1.0, 0.0)] * 2


def test_groups_of_enough_students_are_named_and_the_unknown_are_none() -> None:
    config = MapGroupsConfig(by="gender", min_students=10)
    students = [*["m"] * 12, *["f"] * 10, *["x"] * 9, *[None] * 50]
    assert groups_to_map(students, config) == ("f", "m")
    with pytest.raises(NotEnoughDataError, match=r"1 of its 3 groups have 11 students or more"):
        groups_to_map(students, MapGroupsConfig(by="gender", min_students=11))
    with pytest.raises(NotEnoughDataError, match=r"0 of its 0 groups"):
        groups_to_map([None] * 40, config)
    with pytest.raises(ConfigError, match=r"makes 51 groups of enough students; at most 50"):
        groups_to_map([f"school {i % 51}" for i in range(510)], config)
    with pytest.raises(ValueError, match="min_students is 9; expected at least 10"):
        MapGroupsConfig(min_students=9)


def test_an_attribute_that_the_data_do_not_have_is_refused() -> None:
    students = pl.DataFrame({"student": ["p", "q"], "declared_split": [None, None], "grade": [5, None]})
    order = pl.Series(["q", "p", "p"])
    assert values_of(students, order, "grade", "X is 'grade'") == [None, "5", "5"]
    with pytest.raises(ConfigError, match=r"^X is 'sex', which the logs do not have; their group .* are \['grade'\]"):
        values_of(students, order, "sex", "X is 'sex'")


def test_the_two_sections_have_to_agree() -> None:
    application = load_application("knowledge_tracing")
    kind, by = "train.postprocess.kind=affine_by_group", "preprocess.map_groups.by=gender"
    assert application.configuration("small", [kind, by]).train.postprocess.kind == "affine_by_group"
    with pytest.raises(ConfigError, match=r"kind is 'affine_by_group', but preprocess\.map_groups\.by names no"):
        application.configuration("small", [kind])
    with pytest.raises(ConfigError, match=r"map_groups\.by is 'gender', so that the service would ask for a group"):
        application.configuration("small", [by])
    assert disagreement("", PostprocessConfig()) is None
    with pytest.raises(ConfigError, match=r"postprocess\.by: unknown key"):
        make_config(application.config, {"train": {"postprocess": {"by": "gender"}}})


def test_a_model_that_knows_nothing_of_the_kind_is_refused_before_training() -> None:
    """As of an application that was copied from knowledge tracing before there were maps by group."""
    asked = SimpleNamespace(postprocess=PostprocessConfig(kind="affine_by_group"))
    check_postprocess(network(BY_GROUP, ("f", "m")), asked)
    check_postprocess(object(), SimpleNamespace(postprocess=PostprocessConfig()))
    check_postprocess(object(), SimpleNamespace())
    for model in (object(), network(asdict(PostprocessConfig()))):
        with pytest.raises(ConfigError, match=r"kind is 'affine_by_group', which \w+ does not know of"):
            check_postprocess(model, asked)


def test_a_codec_that_knows_of_no_groups_is_refused() -> None:
    with pytest.raises(ConfigError, match="the application's codec takes no group with a request"):
        with_groups(SimpleNamespace(), "gender", ["f", "m"])  # type: ignore[arg-type]  # that is the point
    assert isinstance(PLAIN, GroupCodec)


def test_a_plain_vocabulary_is_written_as_ever_and_one_with_groups_comes_back() -> None:
    assert list(PLAIN.to_json()) == ["codec", "version", "items", "skills", "max_skills", "max_len_steps"]
    assert PLAIN.to_json()["version"] == 1
    value = json.loads(json.dumps(GROUPED.to_json()))
    assert (value["version"], value["group_by"], value["groups"]) == (2, "gender", ["f", "m"])
    assert Codec.from_json(value) == GROUPED
    assert Codec.from_json(PLAIN.to_json()) == PLAIN


def test_a_request_has_a_group_only_where_the_release_asks_for_it() -> None:
    from flows.knowledge_tracing import codec as module

    for codec, fields in ((PLAIN, {"candidates", "history"}), (GROUPED, {"candidates", "history", "group"})):
        reader = requests_of(codec, readers(module)[0])
        schema = reader._schema
        assert set(schema["properties"]) == fields
        assert schema["required"] == ["candidates"]
        body = b'{"candidates":[{"item":"i1","skills":["add"]}],"group":"f"}'
        assert getattr(reader.read(body), "group", None) == ("f" if codec is GROUPED else None)
        assert getattr(reader.read_many(b"[" + body + b"]", 1)[0], "group", None) == ("f" if codec is GROUPED else None)
        with pytest.raises(BadRequestError) as caught:
            reader.read(b'{"candidates":[{"item":"i1","skills":["add"],"group":"f"}],"group":"f","Anna":1}')
        assert {path for path, _ in caught.value.problems} == {"", "candidates[0]"}
        with pytest.raises(BadRequestError):
            reader.read(b'{"group":"f"}')
    # a bundle of before there were groups: its codec says nothing of a class of requests
    plain = readers(module)[0]
    assert requests_of(SimpleNamespace(), plain) is plain  # type: ignore[arg-type]  # that is the point


def test_a_group_is_read_by_name_and_a_new_one_takes_everybodys_map_and_is_told() -> None:
    candidates, history = (Candidate(item="i1"), Candidate(item="i2")), (Step(correct=1.0, item="i1"),)
    asked = [RequestWithGroup(candidates=candidates, history=history, group=g) for g in ("m", "f", "new", None)]
    rows = [GROUPED.encode(one) for one in asked]
    inputs = GROUPED.batch([row for own in rows for row in own])
    assert inputs["group"].tolist() == [2, 2, 1, 1, 0, 0, 0, 0]
    assert inputs["group"].dtype == np.int64
    output = {"probability": np.full(2, 0.25)}
    flags = [GROUPED.decode(one, own, [output] * 2).flags for one, own in zip(asked, rows, strict=True)]
    assert flags == [(), (), ("new_group",), ()]
    assert set(PLAIN.batch(PLAIN.encode(Request(candidates=candidates)))) == {"items", "skills", "responses"}


def test_golden_requests_ask_for_every_group_none_and_a_new_one() -> None:
    many = PLAIN.with_groups("school", [f"school {i}" for i in range(20)])
    asked = many.golden_requests(16, seed=0)
    assert {one.group for one in asked} == {*many.groups, None, "a new group"}  # type: ignore[attr-defined]
    assert len(GROUPED.golden_requests(16, seed=0)) == 16
    assert all(type(one) is Request for one in PLAIN.golden_requests(16, seed=0))


def network(postprocess: dict[str, Any], groups: tuple[str, ...] = ()) -> DeepKnowledgeTracing:
    config = asdict(DktConfig(width=6, hidden=8, unknown_share=0.0))
    with isolated_rng():
        torch.manual_seed(0)
        made = DeepKnowledgeTracing(
            items=20, skills=7, max_skills=3, network=config, postprocess=postprocess, group_by="sex", groups=groups
        )
    return made.eval()


def test_the_graph_takes_the_group_and_maps_each_row_by_its_own(tmp_path: Path) -> None:
    import onnxruntime

    model = network(BY_GROUP, ("f", "m"))
    inputs = model.export_inputs(6, 9, seed=3) | {"group": torch.tensor([0, 1, 2, 2, 1, 0])}
    names = ("items", "skills", "responses")
    assert model.input_names == (*names, "group")
    with torch.no_grad():
        logit = model.logits(*(inputs[name] for name in names)).double().numpy()
        unset = model(**inputs)
        assert torch.equal(unset, torch.sigmoid(model.logits(*(inputs[name] for name in names))))
    pairs = [(0.5, 0.1), (1.4, -0.7), (0.8, 1.1)]
    assert model.affine_by_group is not None
    model.affine_by_group.set(pairs)
    write_onnx(model, tmp_path / "model.onnx", opset=20, metadata={})
    check_axes(tmp_path / "model.onnx", model)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [one.name for one in session.get_inputs()] == [*names, "group"]
    (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    for row, g in enumerate(inputs["group"].tolist()):
        slope, intercept = pairs[g]
        by_hand = 1.0 / (1.0 + np.exp(-slope * logit[row] - intercept))
        assert np.abs(found[row] - by_hand).max() < 1e-6
    with pytest.raises(ValueError, match="mapped by group, and none is given"):
        model(*(inputs[name] for name in names))
    with pytest.raises(ValueError, match=r"slope is -1.0; expected above 0"):
        model.affine_by_group.set([(1.0, 0.0), (-1.0, 0.0), (1.0, 0.0)])
    with pytest.raises(ValueError, match="2 pairs of slope and intercept; expected 3"):
        model.affine_by_group.set(pairs[:2])


def test_what_is_told_names_groups_with_maps_and_a_caution_and_no_counts_of_theirs(tmp_path: Path) -> None:
    source = np.random.default_rng(1)
    logit, group = source.normal(size=900), np.repeat([1, 2, 0], [500, 150, 250])
    label = (source.random(900) < 1.0 / (1.0 + np.exp(-0.7 * logit))).astype(np.float64)
    everybody, found = fit_by_group(logit, label, group, 2, min_scored=200)
    write_postprocess(tmp_path, by_group_json(everybody, "sex", dict(zip("fm", found, strict=True))))
    told = postprocess_of(tmp_path)
    assert told is not None
    assert (told["kind"], told["by"], told["status"], told["answers"]) == ("affine_by_group", "sex", "ok", 900)
    assert [(one["group"], one["status"]) for one in told["groups"]] == [("f", "ok"), ("m", "not_fitted")]
    assert all("answers" not in one for one in told["groups"])
    assert told["sentence"].startswith("Answers are mapped by sex: each of f has an affine map of its own")
    assert "so has m (the group has 150 scored answers, min_scored asks for 200)" in told["sentence"]
    assert told["caution"] == CAUTION
