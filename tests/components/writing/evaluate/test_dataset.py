"""What a split needs to be read, all of it said at once, and that no id or text is in a message."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.errors import SchemaError
from components.store import Store
from components.writing.evaluate.dataset import read_split
from tests.components.writing.evaluate.made_up import Responses, simulated, write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset on disk that a test may spoil."""
    store = Store(tmp_path / "store")
    made = write_dataset(store, tmp_path / "dataset", {"train": simulated(40, 1)[0], "test": simulated(30, 2)[0]})
    return Path(shutil.copytree(store.folder(made), tmp_path / "copy"))


def test_a_split_is_read_in_the_order_of_its_arrays(folder: Path) -> None:
    expected, _ = simulated(30, 2)
    found = read_split(folder, "test")
    assert found.rows == 30
    assert found.score.tolist() == expected.score.tolist()
    assert found.ratings.tolist() == np.stack(list(expected.raters.values()), axis=1).tolist()
    assert found.table["response"].to_list() == [f"te{at:030d}" for at in range(30)]
    assert found.length is not None
    assert expected.features is not None
    assert found.length == pytest.approx(expected.features[:, 0], rel=1e-6)
    assert found.abstained.null_count() == 30


def test_raters_beyond_the_ninth_keep_their_order(folder: Path) -> None:
    table = pl.read_parquet(folder / "responses.parquet")
    more = {f"rater_{n}": pl.lit(float(n)) for n in (10, 9, 3)}
    table.with_columns(**more).write_parquet(folder / "responses.parquet")
    assert read_split(folder, "test").ratings[0, 2:].tolist() == [3, 9, 10]


def test_scores_of_single_precision_are_within_their_rubric(tmp_path: Path) -> None:
    prompts = ({"prompt": "1", "low": 0, "high": 2.7, "step": 0.1},)
    test = Responses(prompt=np.zeros(2, np.int64), score=np.array([2.7, 0.3]))
    store = Store(tmp_path / "store")
    made = write_dataset(store, tmp_path / "d", {"test": test}, prompts=prompts, features=(), traits=())
    assert read_split(store.folder(made), "test").score == pytest.approx([2.7, 0.3], abs=1e-15)


def test_missing_files_and_columns_are_named(folder: Path) -> None:
    (folder / "test" / "score.npy").unlink()
    (folder / "codec.json").unlink()
    with pytest.raises(SchemaError, match=r"has no codec\.json, test/score\.npy\. Run preprocess again"):
        read_split(folder, "test")


def test_a_table_without_students_is_refused(folder: Path) -> None:
    pl.read_parquet(folder / "responses.parquet").drop("student").write_parquet(folder / "responses.parquet")
    with pytest.raises(SchemaError, match=r"responses\.parquet of the text dataset has no student"):
        read_split(folder, "test")


def test_all_that_does_not_fit_together_is_counted(folder: Path) -> None:
    np.save(folder / "test" / "score.npy", np.zeros(29, np.float32))
    np.save(folder / "test" / "prompt.npy", np.full(30, 7, np.int32))
    with pytest.raises(SchemaError) as caught:
        read_split(folder, "test")
    message = str(caught.value)
    assert "score has 29 rows" in message
    assert "30 of 30 prompt indices are none of the 3 prompts" in message
    assert "te0000" not in message


def test_scores_outside_the_rubric_and_prompts_of_another_order_are_counted(folder: Path) -> None:
    score = np.load(folder / "test" / "score.npy")
    score[:2] = [99, np.nan]
    np.save(folder / "test" / "score.npy", score)
    codec = json.loads((folder / "codec.json").read_text())
    codec["prompts"][0]["prompt"] = "another"
    (folder / "codec.json").write_text(json.dumps(codec))
    first = int((np.load(folder / "test" / "prompt.npy") == 0).sum())
    with pytest.raises(SchemaError) as caught:
        read_split(folder, "test")
    assert "2 of 30 scores are no number within the prompt's rubric" in str(caught.value)
    assert f"{first} rows of responses.parquet are of another prompt than the arrays'" in str(caught.value)
