"""The stage of scored writing: leaks planted into a preprocessed dataset are found exactly, and stop the run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.app import load_application
from components.artifacts import LeakageReport, Lineage, ScoredWriting, TextDataset
from components.errors import GateStoppedError, SchemaError
from components.stage import PENDING, Runner
from components.store import Store
from components.writing.leakage.config import WritingLeakageConfig
from components.writing.leakage.stage import leakage
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.stage import preprocess
from components.writing.schema import RESPONSES
from tests.components.writing import made_up

COUNT = 60
FLAG = WritingLeakageConfig(on_fail="flag")


class Bench:
    """A store with writing and a dataset of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(str(folder / "store"))
        self.said: list[str] = []
        application = replace(
            load_application("knowledge_tracing"), name="grading", codec_name="components.writing.codec"
        )
        self.run = Runner(self.store, application, say=self.said.append)

    def published(self, rows: pl.DataFrame, name: str = "source") -> ScoredWriting:
        """Publish responses as ingest would."""
        made_up.write(self.folder / name, rows)
        draft = ScoredWriting(
            ref=PENDING, lineage=Lineage(), rows=rows.height, students=rows["student"].n_unique(), prompts=2, raters=1,
            traits=("content",), quarantined=0, layout="tests", protocol="scored_writing", pseudonym_key_id="none",
        )  # fmt: skip
        return self.store.publish(draft, self.folder / name)

    def dataset(self, writing: ScoredWriting) -> TextDataset:
        """Preprocess."""
        return self.run(preprocess, writing, WritingPreprocessConfig())

    def spoilt(self, data: TextDataset, spoil: Callable[[pl.DataFrame], pl.DataFrame]) -> TextDataset:
        """Publish the dataset with other rows."""
        folder = self.folder / "spoilt"
        folder.mkdir()
        spoil(pl.read_parquet(self.store.folder(data) / RESPONSES)).write_parquet(folder / RESPONSES)
        return self.store.publish(replace(data, ref=PENDING), folder)

    def report(self, found: LeakageReport) -> dict[str, Any]:  # Any: parsed JSON
        report: dict[str, Any] = json.loads((self.store.folder(found) / "leakage.json").read_text())
        return report


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def sides(bench: Bench, data: TextDataset) -> pl.DataFrame:
    """Return response, student, prompt and split."""
    return pl.read_parquet(bench.store.folder(data) / RESPONSES).select("response", "student", "prompt", "split")


def test_what_preprocessing_splits_passes(bench: Bench) -> None:
    writing = bench.published(made_up.table(COUNT))
    data = bench.dataset(writing)
    found = bench.run(leakage, writing, data, WritingLeakageConfig())
    assert (found.verdict, found.reasons) == ("pass", ())
    report = bench.report(found)
    assert report["checks"]["students"]["students"] == dict(data.students)
    assert sum(n["responses"] for n in report["checks"]["texts"]["held_out"].values()) == (
        data.responses["valid"] + data.responses["test"]
    )
    assert report["checks"]["protocol"] == {"protocol": "scored_writing"}


def test_a_student_of_several_declared_splits_stops_the_run(bench: Bench) -> None:
    rows = made_up.table(COUNT)
    declared = pl.Series(
        [("train", "valid", "test")[n % 3] for n in range(COUNT)] + ["train"] * 20 + ["valid", "test"] * 20
    )
    writing = bench.published(rows.with_columns(declared_split=declared))
    data = bench.dataset(writing)
    split = sides(bench, data)
    expected = split.group_by("student").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1).height
    with pytest.raises(GateStoppedError, match=f"{expected} of {COUNT} students are in more than one split"):
        bench.run(leakage, writing, data, WritingLeakageConfig())
    assert bench.run(leakage, writing, data, WritingLeakageConfig(students="warn")).verdict == "warn"
    assert expected > 20


def test_planted_texts_are_counted_by_prompt_and_neither_texts_nor_ids_are_told(bench: Bench) -> None:
    rows = made_up.table(COUNT)
    before = sides(bench, bench.dataset(bench.published(rows, "before")))

    def of(prompt: str, split: str) -> list[str]:
        return before.filter((pl.col("prompt") == prompt) & (pl.col("split") == split))["response"].to_list()

    train, valid, test = (of("bridge", split) for split in ("train", "valid", "test"))
    texts = dict(rows.select("response", "text").iter_rows())
    planted = {
        test[0]: f"{texts[train[0]]} really",  # nearly the same
        test[1]: f"{texts[train[0]]} truly",
        valid[0]: f"well {texts[test[2]]}",
        train[1]: f"{texts[train[2]]} again",  # within a split
        of("plants", "test")[0]: texts[train[3]],  # of another prompt
    }
    writing = bench.published(
        rows.with_columns(text=pl.col("response").replace_strict(planted, default=pl.col("text")))
    )
    data = bench.dataset(writing)
    assert sides(bench, data).equals(before)
    found = bench.run(leakage, writing, data, WritingLeakageConfig(near_similarity=0.9))
    its = bench.report(found)["checks"]["texts"]
    assert its["prompts"]["bridge"]["near_pairs"] == {"train & valid": 0, "train & test": 2, "valid & test": 1}
    assert its["pairs"]["near"] == its["prompts"]["bridge"]["near_pairs"]
    assert its["pairs"]["same"] == {"train & valid": 0, "train & test": 0, "valid & test": 0}
    assert its["held_out"]["valid"] == {"responses": data.responses["valid"], "same": 0, "near": 0}
    assert its["held_out"]["test"] == {"responses": data.responses["test"], "same": 0, "near": 3}
    assert found.verdict == "warn"
    assert "3) text" in found.reasons[0]
    with pytest.raises(GateStoppedError):
        bench.run(leakage, writing, data, WritingLeakageConfig(near_similarity=0.9, texts="stop"))
    assert bench.run(
        leakage, writing, data, WritingLeakageConfig(near_similarity=0.9, max_shared_share=0.5)
    ).verdict == ("pass")
    told = (bench.store.folder(found) / "leakage.json").read_text() + " ".join(bench.said)
    assert not [name for name in rows["response"] if name in told]
    assert not [name for name in rows["student"].unique() if name in told]
    assert "need to talk about" not in told


def test_a_response_that_is_there_twice_stops_the_run(bench: Bench) -> None:
    writing = bench.published(made_up.table(COUNT))
    data = bench.spoilt(bench.dataset(writing), lambda rows: pl.concat([rows, rows[[0, 5, 5]]]))
    found = bench.run(leakage, writing, data, FLAG)
    report = bench.report(found)
    assert report["checks"]["responses"] == {"responses": 2 * COUNT + 3, "twice": 3}
    assert found.verdict == "fail"
    with pytest.raises(GateStoppedError, match="3 of 123 responses repeat the id of another"):
        bench.run(leakage, writing, data, WritingLeakageConfig())


def test_a_dataset_of_other_writing_is_refused(bench: Bench) -> None:
    writing = bench.published(made_up.table(COUNT))
    data = bench.spoilt(
        bench.dataset(writing),
        lambda rows: rows.with_columns(
            response=pl.when(pl.int_range(pl.len()) < 2).then(pl.lit("nobody's")).otherwise("response"),
            split=pl.when(pl.int_range(pl.len()) == 9).then(pl.lit("later")).otherwise("split"),
        ),
    )
    with pytest.raises(SchemaError, match=r"2 are not in the source's responses\.parquet; 1 are in none of the splits"):
        bench.run(leakage, writing, data, FLAG)
