"""Writing a text dataset: splits, arrays and what is refused."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.errors import NotEnoughDataError
from components.writing.codec import FEATURES, Codec, Request
from components.writing.preprocess.arrays import TextArrays
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.layout import Layout, write_dataset
from tests.components.writing import made_up


def written(tmp_path: Path, rows: pl.DataFrame, config: WritingPreprocessConfig | None = None) -> tuple[Layout, Path]:
    made_up.write(tmp_path / "source", rows)
    target = tmp_path / "dataset"
    target.mkdir()
    return write_dataset(tmp_path / "source", target, config or WritingPreprocessConfig(inputs="both")), target


def test_arrays_are_what_the_service_encodes(tmp_path: Path) -> None:
    rows = made_up.table(80)
    layout, folder = written(tmp_path, rows)
    codec = Codec.from_json(json.loads((folder / "codec.json").read_text()))
    kept = pl.read_parquet(folder / "responses.parquet")
    texts = dict(zip(rows["response"], rows["text"], strict=True))
    scores = dict(zip(rows["response"], rows["score"], strict=True))
    for split in ("train", "valid", "test"):
        part = kept.filter(pl.col("split") == split)
        arrays = TextArrays.open(folder, split)
        assert layout.responses[split] == part.height == len(arrays.score_R)
        assert layout.students[split] == part["student"].n_unique()
        assert arrays.score_R.tolist() == [scores[response] for response in part["response"]]
        assert np.load(folder / split / "scaled.npy").tolist() == (arrays.score_R / 4).tolist()
        requests = [
            Request(prompt=prompt, text=texts[response])
            for prompt, response in zip(part["prompt"], part["response"], strict=True)
        ]
        encoded = [codec.encode(request)[0] for request in requests]
        served, offline = codec.batch(encoded), arrays.batch(range(part.height))
        for name, array in served.items():
            assert array.tobytes() == offline[name].tobytes(), name
        if split != "train":  # whose texts set the limits
            assert part["abstained"].to_list() == [row.abstained for row in encoded]
    assert set(layout.arrays) == {path.stem for path in (folder / "test").glob("*.npy")}


def test_the_vocabulary_comes_from_training_texts_only(tmp_path: Path) -> None:
    rows = made_up.table(80)
    _, folder = written(tmp_path, rows)
    first = json.loads((folder / "codec.json").read_text())
    kept = pl.read_parquet(folder / "responses.parquet")
    held = kept.filter(pl.col("split") != "train")["response"]
    changed = rows.with_columns(
        text=pl.when(pl.col("response").is_in(held.to_list()))
        .then(pl.col("response") + " unheard words")
        .otherwise("text")
    )
    (tmp_path / "again").mkdir()
    _, folder = written(tmp_path / "again", changed)
    assert json.loads((folder / "codec.json").read_text()) == first


def test_traits_are_missing_where_a_prompt_has_none(tmp_path: Path) -> None:
    layout, folder = written(tmp_path, made_up.table(80))
    assert layout.codec.traits == ("content",)
    arrays = TextArrays.open(folder, "valid")
    is_plants = arrays.prompt_R == layout.codec.index_of("plants")
    assert np.isnan(arrays.traits_RK[~is_plants]).all()
    assert arrays.traits_RK[is_plants, 0].tolist() == np.clip(arrays.score_R[is_plants], 1, 3).tolist()


def test_responses_without_a_score_are_left_out(tmp_path: Path) -> None:
    rows = made_up.table(80).with_columns(
        score=pl.when(pl.col("response") == "plants0003").then(None).otherwise(pl.col("score"))
    )
    layout, _ = written(tmp_path, rows)
    assert sum(layout.responses.values()) == 159


def test_only_what_a_model_takes_is_written(tmp_path: Path) -> None:
    rows = made_up.table(60)
    names = ("prompt", "features", "score", "scaled", "traits")
    for inputs, more in (("grams", {"ids", "values", "ids_offsets"}), ("tokens", {"tokens", "tokens_offsets"})):
        (tmp_path / inputs).mkdir()
        layout, folder = written(tmp_path / inputs, rows, WritingPreprocessConfig(inputs=inputs, max_tokens=20))  # type: ignore[arg-type]  # a literal
        assert set(layout.arrays) == {*names, *more}
        assert np.load(folder / "train" / "features.npy").shape[1] == len(FEATURES)
        if inputs == "tokens":
            arrays = TextArrays.open(folder, "train")
            assert arrays.tokens is not None
            assert arrays.tokens.lengths().max() == 20


def test_a_prompt_with_too_few_responses_is_named(tmp_path: Path) -> None:
    rows = made_up.table(80)
    few = pl.concat([rows.filter(pl.col("prompt") == "bridge"), rows.filter(pl.col("prompt") == "plants").head(5)])
    with pytest.raises(NotEnoughDataError, match=r"prompt 'plants' has \d of its 5 responses in train, at least 20"):
        written(tmp_path, few)


def test_no_scores_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughDataError, match="no response has a score"):
        written(tmp_path, made_up.table(30).with_columns(score=pl.lit(None, pl.Float64)))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"valid_share": 0.0}, "valid_share=0.0"),
        ({"valid_share": 0.5, "test_share": 0.5}, "leaves no student"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"min_word_count": 0}, "min_word_count=0"),
        ({"refused_share": 0.7}, "refused_share=0.7"),
        ({"sentences": {"nothing": "x"}}, "No sentence is called 'nothing'"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(changed: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        WritingPreprocessConfig(**changed)  # type: ignore[arg-type]  # wrong on purpose
