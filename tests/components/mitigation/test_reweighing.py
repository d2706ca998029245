"""Weights against the example of the paper, and what they must do; where preprocessing writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.config import make_config
from components.errors import ConfigError, NotEnoughDataError
from components.mitigation.config import ReweighConfig
from components.mitigation.reweighing import classes_of, reweighing_of, weights_of
from components.preprocess.config import PreprocessConfig
from components.preprocess.layout import write_dataset
from components.schema import STUDENTS
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.layout import write_dataset as write_texts
from components.writing.schema import RESPONSES
from flows.knowledge_tracing.encode import KnowledgeTracingEncoder
from tests.components.leakage.test_stage import COUNT, STEPS, write_logs
from tests.components.writing import made_up

BY = ReweighConfig(by="sex")
WIDE = ReweighConfig(by="sex", max_weight=1_000.0)


def test_it_gives_the_weights_of_the_papers_example() -> None:
    # Kamiran & Calders 2012, table 3: ten applicants; 2 of 5 women and 4 of 5 men are hired
    group = ["f"] * 5 + ["m"] * 5
    label = np.array([1, 1, 0, 0, 0, 1, 1, 1, 1, 0])
    found = weights_of(group, label, BY)
    paper = [1.5, 1.5, 2 / 3, 2 / 3, 2 / 3, 0.75, 0.75, 0.75, 0.75, 2.0]
    assert found.weight_N == pytest.approx(paper, abs=1e-6)
    assert (found.groups, found.unknown, found.limited) == (2, 0, 0)


def random_rows(seed: int = 0) -> tuple[list[str | None], np.ndarray[Any, np.dtype[np.int64]]]:
    source = np.random.default_rng(seed)
    number = source.choice(4, 5_000, p=[0.7, 0.2, 0.06, 0.04])
    label = (source.random(5_000) < np.array([0.8, 0.5, 0.3, 0.6])[number]).astype(np.int64)
    return [(None, "a", "b", "unknown")[n] for n in number], label


def test_group_and_label_are_independent_in_the_weighted_rows() -> None:
    group, label = random_rows()
    weight = weights_of(group, label, WIDE).weight_N.astype(np.float64)
    assert weight.mean() == pytest.approx(1.0)
    names = np.array([str(g) for g in group])
    for name in np.unique(names):
        share = np.average(names == name, weights=weight)
        assert share == pytest.approx((names == name).mean(), abs=1e-6)  # groups keep their share
        both = np.average((names == name) & (label == 1), weights=weight)
        assert both == pytest.approx(share * label.mean(), abs=1e-6)


def test_by_group_each_group_counts_the_same_and_unknown_is_one() -> None:
    group, label = random_rows()
    found = weights_of(group, label, ReweighConfig(by="sex", method="group", max_weight=1_000.0))
    sums = {name: found.weight_N[[g == name for g in group]].sum() for name in set(group)}
    assert list(sums.values()) == pytest.approx([1_250.0] * 4, rel=1e-5)
    assert found.unknown == sum(g is None for g in group)
    assert found.groups == 4  # one called "unknown" is not the unknown ones


def test_no_row_counts_for_more_than_the_limit_when_the_mean_is_1() -> None:
    group = ["a"] * 9_999 + ["b"]
    label = np.array([1] * 5_000 + [0] * 4_999 + [1])
    found = weights_of(group, label, ReweighConfig(by="sex", method="group", max_weight=10.0))
    # unlimited, 10,000 / 2 for the one; at 10 of a total of 10,000 the others share 9,990
    assert found.weight_N == pytest.approx([9_990 / 9_999] * 9_999 + [10.0], rel=1e-6)
    assert found.limited == 1


@pytest.mark.parametrize("limit", [1.01, 1.5, 3.0])
def test_the_limit_holds_where_what_is_cut_lifts_others_over_it(limit: float) -> None:
    group = ["a"] * 60 + ["b"] * 20 + ["c"] * 12 + ["d"] * 8
    found = weights_of(group, np.zeros(100, np.int64), ReweighConfig(by="sex", method="group", max_weight=limit))
    assert found.weight_N.mean() == pytest.approx(1.0, rel=1e-6)
    assert found.weight_N.max() <= limit * (1 + 1e-6)
    assert (np.diff(found.weight_N) >= 0).all()  # the order of the groups stays


def test_prompts_are_weighed_apart() -> None:
    group, label = random_rows()
    block = np.arange(len(group)) % 2
    found = weights_of(group, label, WIDE, block)
    for b in (0, 1):
        own = np.flatnonzero(block == b)
        alone = weights_of([group[n] for n in own], label[own], WIDE)
        assert found.weight_N[own] == pytest.approx(alone.weight_N)


def test_one_group_alone_and_an_unknown_attribute_are_told() -> None:
    with pytest.raises(NotEnoughDataError, match="'sex' has one group in the training split"):
        weights_of(["a"] * 3, np.array([0, 1, 1]), BY)
    with pytest.raises(ConfigError, match=r"max_weight is 1\.0; expected above 1"):
        make_config(ReweighConfig, {"by": "sex", "max_weight": 1.0})


def test_scores_are_classes_or_ranges_of_about_the_same_size() -> None:
    assert classes_of(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2, 0, 2, 1]
    assert np.bincount(classes_of(np.arange(100.0))).tolist() == [20] * 5
    skewed = np.array([0.0] * 90 + list(range(1, 11)))
    found = classes_of(skewed)
    assert len(set(found[:90].tolist())) == 1
    assert (np.diff(found) >= 0).all()


def test_training_answers_are_weighed_and_nothing_else_changes(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    write_logs(logs)
    sex = [None if n % 10 == 0 else "f" if n % 4 == 0 else "m" for n in range(COUNT)]
    students = pl.read_parquet(logs / STUDENTS).with_columns(sex=pl.Series(sex, dtype=pl.String))
    students.write_parquet(logs / STUDENTS)
    folders = {}
    for name, by in (("plain", ""), ("weighed", "sex")):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        config = PreprocessConfig(valid_share=0.2, test_share=0.2, max_len_steps=40, reweigh=ReweighConfig(by=by))
        write_dataset(logs, folders[name], KnowledgeTracingEncoder(), config)
    files = {name: {str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*") if p.is_file()}
             for name, f in folders.items()}  # fmt: skip
    added = {"train/group_weight.npy", "reweighing.json"}
    assert set(files["weighed"]) - set(files["plain"]) == added
    assert {name: body for name, body in files["weighed"].items() if name not in added} == files["plain"]

    train = folders["weighed"] / "train"
    weight, right = np.load(train / "group_weight.npy"), np.load(train / "responses.npy") >= 0.5
    own = np.repeat(np.load(train / "window_student.npy"), np.load(train / "lengths.npy"))
    names = pl.read_parquet(folders["weighed"] / STUDENTS)["student"].to_list()
    group = np.array([str(sex[int(names[n], 16)]) for n in own])
    for g in ("f", "m", "None"):
        for y in (False, True):
            cell = (group == g) & (right == y)
            expected = (group == g).mean() * (right == y).mean() / cell.mean()
            assert weight[cell] == pytest.approx(np.full(cell.sum(), expected), rel=1e-5)
    told = reweighing_of(folders["weighed"])["reweighing"]
    assert (told["attribute"], told["groups"], told["rows"]) == ("sex", 3, len(weight))
    assert told["unknown_rows"] == (group == "None").sum() > STEPS
    assert "law or policy restricts" in told["caution"]
    assert reweighing_of(folders["plain"]) == {}


def test_training_responses_are_weighed_within_their_prompt(tmp_path: Path) -> None:
    rows = made_up.table(60)
    made_up.write(tmp_path / "source", rows)
    names = rows["student"].unique().sort()
    sex = dict(zip(names, ["f" if n % 3 == 0 else "m" for n in range(len(names))], strict=True))
    table = pl.DataFrame({"student": names, "declared_split": [None] * len(names), "sex": list(sex.values())})
    table.write_parquet(tmp_path / "source" / STUDENTS)
    (tmp_path / "data").mkdir()
    write_texts(tmp_path / "source", tmp_path / "data", WritingPreprocessConfig(reweigh=BY))
    weight = np.load(tmp_path / "data" / "train" / "group_weight.npy")
    kept = pl.read_parquet(tmp_path / "data" / RESPONSES).filter(pl.col("split") == "train")
    score = np.load(tmp_path / "data" / "train" / "score.npy")
    prompt = kept["prompt"].to_numpy()
    group = np.array([sex[s] for s in kept["student"]])
    for p in ("bridge", "plants"):
        own = prompt == p
        raw = np.array(
            [
                (group[own] == g).mean() * (score[own] == y).mean() / ((group[own] == g) & (score[own] == y)).mean()
                for g, y in zip(group[own], score[own], strict=True)
            ]
        )
        assert weight[own] == pytest.approx(raw, rel=1e-5)
    assert not (tmp_path / "data" / "test" / "group_weight.npy").exists()
    told = json.loads((tmp_path / "data" / "reweighing.json").read_text())
    assert told["attribute"] == "sex"
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match=r"reweigh\.by is 'age', which the logs do not have; .* \['sex'\]"):
        write_texts(tmp_path / "source", tmp_path / "other", WritingPreprocessConfig(reweigh=ReweighConfig(by="age")))
