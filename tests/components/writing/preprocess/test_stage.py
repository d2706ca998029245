"""The stage: what it publishes, and that its result is found again."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from components.app import Application, load_application
from components.artifacts import Lineage, ScoredWriting, TextDataset
from components.errors import NotEnoughDataError
from components.stage import PENDING, Runner, StageEvent
from components.store import Store
from components.writing.codec import Codec
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.stage import preprocess
from tests.components.writing import made_up


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def application() -> Application:
    return replace(load_application("knowledge_tracing"), name="grading", codec_name="components.writing.codec")


def published(store: Store, rows: pl.DataFrame, folder: Path) -> ScoredWriting:
    made_up.write(folder, rows)
    draft = ScoredWriting(
        ref=PENDING,
        lineage=Lineage(),
        rows=rows.height,
        students=rows["student"].n_unique(),
        prompts=2,
        raters=1,
        traits=("content",),
        quarantined=0,
        layout="tests",
        protocol="scored_writing",
        pseudonym_key_id="none",
    )
    return store.publish(draft, folder)


def test_it_publishes_a_dataset_once(store: Store, application: Application, tmp_path: Path) -> None:
    writing = published(store, made_up.table(60), tmp_path / "source")
    events: list[StageEvent] = []
    run = Runner(store, application, observe=events.append)
    found = run(preprocess, writing, WritingPreprocessConfig())
    assert isinstance(found, TextDataset)
    assert (found.application, found.prompts, found.traits) == ("grading", ("bridge", "plants"), ("content",))
    assert sum(found.responses.values()) == 120
    assert sum(found.students.values()) == 60  # every student is in one split
    kind = application.codec()
    assert kind is Codec
    kind.from_json(json.loads((store.folder(found) / "codec.json").read_text()))
    again = run(preprocess, writing, WritingPreprocessConfig())
    assert [event.status for event in events] == ["started", "finished", "skipped"]
    assert again.sha256 == found.sha256


def test_it_says_that_declared_splits_share_students(store: Store, application: Application, tmp_path: Path) -> None:
    rows = made_up.table(60)
    # a student's answers to the two prompts are declared in different splits
    sides = pl.Series([("train", "valid", "test")[n % 3] for n in range(60)] + ["train"] * 20 + ["valid", "test"] * 20)
    lines: list[str] = []
    writing = published(store, rows.with_columns(declared_split=sides), tmp_path / "source")
    Runner(store, application, say=lines.append)(preprocess, writing, WritingPreprocessConfig())
    assert len(lines) == 1
    assert "share a student or a text" in lines[0]


def test_too_little_of_a_prompt_is_refused(store: Store, application: Application, tmp_path: Path) -> None:
    writing = published(store, made_up.table(12), tmp_path / "source")
    with pytest.raises(NotEnoughDataError, match="prompt 'bridge' has"):
        Runner(store, application)(preprocess, writing, WritingPreprocessConfig())
