"""Writes a text dataset: arrays per split, texts of different lengths one after the other with offsets.

See `TextDataset` for the files. Rows of a split are sorted as ingest sorted them: by prompt, then response.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from components.errors import NotEnoughDataError
from components.mitigation.attributes import values_of
from components.mitigation.reweighing import classes_of, weights_of, write_weights
from components.parquet import write_parquet
from components.preprocess.split import SPLITS, TRAIN
from components.writing.codec import FEATURES, Codec, Row, Rubric
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.fit import PromptTexts, fit_codec
from components.writing.preprocess.split import divide
from components.writing.schema import PROMPTS, RATER, RESPONSES, STUDENTS, TRAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What was written."""

    codec: Codec
    arrays: tuple[str, ...]
    responses: dict[str, int]
    """Per split."""
    students: dict[str, int]
    crossing: int
    """Responses whose student or text is also in another split, because the data declare it so."""


def write_dataset(source: Path, target: Path, config: WritingPreprocessConfig) -> Layout:
    """Write the dataset of the scored writing in `source` below `target` and say what it holds.

    Raises:
        NotEnoughDataError: a prompt has too few responses in a split.
        ConfigError: responses are to be weighed by an attribute that students do not have.
    """
    table = pl.read_parquet(source / RESPONSES).filter(pl.col("score").is_not_null())
    prompts = _prompts(source)
    divided = divide(table, config)
    table = table.with_columns(pl.Series("side", divided.side_N))
    _check(table, config)
    scored = [name for name in prompts if name in set(table["prompt"].unique())]
    if config.pool_prompts:  # a question and its reference answers are enough
        scored = [
            n for n, its in prompts.items() if n in scored or (its["reference_answers"] and its["low"] is not None)
        ]
    codec = fit_codec([_texts(table, name, prompts[name]) for name in scored], config)
    (target / "codec.json").write_text(json.dumps(codec.to_json(), ensure_ascii=False), encoding="utf-8")

    arrays: set[str] = set()
    kept, responses, students = [], {}, {}
    for side, name in enumerate(SPLITS):
        part = table.filter(pl.col("side") == side)
        folder = target / name
        folder.mkdir()
        written, abstained = _encoded(part, codec, check=side != TRAIN)
        for array_name, array in written.items():
            np.save(folder / f"{array_name}.npy", array)
        arrays |= set(written)
        ratings = [column for column in part.columns if column.startswith(RATER)]
        kept.append(
            part.select("response", "student", "prompt", pl.lit(name).alias("split"), *ratings).with_columns(
                pl.Series("abstained", abstained, pl.String)
            )
        )
        responses[name], students[name] = part.height, part["student"].n_unique()
    if config.reweigh.by:
        _weigh(table.filter(pl.col("side") == TRAIN), source, target, config)
    write_parquet(pl.concat(kept), target / RESPONSES)
    return Layout(
        codec=codec,
        arrays=tuple(sorted(arrays)),
        responses=responses,
        students=students,
        crossing=divided.crossing,
    )


def _weigh(train: pl.DataFrame, source: Path, target: Path, config: WritingPreprocessConfig) -> None:
    """Write the weights of training responses by group and score, within each prompt unless prompts are pooled."""
    students = pl.read_parquet(source / STUDENTS)
    by = config.reweigh.by
    group_N = values_of(students, train["student"], by, f"preprocess.reweigh.by is {by!r}")
    blocks = pl.Series([0] * train.height) if config.pool_prompts else train["prompt"].rank("dense")
    block_N, score_N = blocks.to_numpy().astype(np.int64), train["score"].to_numpy()
    label_N = np.zeros(train.height, np.int64)
    for block in np.unique(block_N):
        label_N[block_N == block] = classes_of(score_N[block_N == block])
    write_weights(target, weights_of(group_N, label_N, config.reweigh, block_N), config.reweigh, SPLITS[TRAIN])


def _prompts(source: Path) -> dict[str, dict[str, Any]]:  # Any: plain JSON of prompts.json
    return {str(entry["prompt"]): entry for entry in json.loads((source / PROMPTS).read_text(encoding="utf-8"))}


def _texts(table: pl.DataFrame, name: str, entry: dict[str, Any]) -> PromptTexts:  # Any: as above
    training = table.filter((pl.col("prompt") == name) & (pl.col("side") == TRAIN))
    traits = {
        str(trait): Rubric(low=scale["low"], high=scale["high"], step=scale.get("step", 1.0))
        for trait, scale in (entry.get("traits") or {}).items()
    }
    return PromptTexts(
        name=name,
        rubric=Rubric(low=entry["low"], high=entry["high"], step=entry.get("step", 1.0)),
        traits=traits,
        text=entry.get("text"),
        references=tuple(entry.get("reference_answers") or ()),
        responses=training["text"].to_list(),
    )


def _encoded(part: pl.DataFrame, codec: Codec, *, check: bool) -> tuple[dict[str, npt.NDArray[Any]], list[str | None]]:
    """Return the arrays of one split, and why the codec would refuse to grade a response, per row.

    Training texts are not checked: they set the limits.
    """
    prompt = np.fromiter((codec.index_of(name) for name in part["prompt"]), np.int32, part.height)
    ids, values, tokens = _Ragged(np.int32), _Ragged(np.float32), _Ragged(np.int32)
    features = np.zeros((part.height, len(FEATURES)), np.float32)
    abstained = []
    for n, text in enumerate(part["text"]):
        row: Row = codec.row(codec.read(text, int(prompt[n])), int(prompt[n]), check=check)
        features[n] = row.features_F
        abstained.append(row.abstained)
        ids.add(row.ids_L)
        values.add(row.values_L)
        tokens.add(row.tokens_T)
    score = part["score"].to_numpy()
    rubrics = [terms.rubric for terms in codec.prompts]
    low = np.array([rubric.low for rubric in rubrics])[prompt]
    high = np.array([rubric.high for rubric in rubrics])[prompt]
    columns = [pl.col(f"{TRAIT}{name}").fill_null(np.nan).cast(pl.Float32) for name in codec.traits]
    traits = part.select(columns).to_numpy() if columns else np.zeros((part.height, 0), np.float32)
    found: dict[str, npt.NDArray[Any]] = {
        "prompt": prompt,
        "features": features,
        "score": score.astype(np.float32),
        "scaled": ((score - low) / (high - low)).astype(np.float32),
        "traits": traits,
    }
    if codec.grams:
        found |= {"ids": ids.flat(), "values": values.flat(), "ids_offsets": ids.offsets()}
    if codec.max_tokens:
        found |= {"tokens": tokens.flat(), "tokens_offsets": tokens.offsets()}
    return found, abstained


class _Ragged:
    """Arrays of different lengths, one after the other."""

    def __init__(self, dtype: type[np.int32] | type[np.float32]) -> None:
        self._dtype = dtype
        self._parts: list[npt.NDArray[Any]] = []

    def add(self, part: npt.NDArray[Any]) -> None:
        self._parts.append(part.astype(self._dtype))

    def flat(self) -> npt.NDArray[Any]:
        return np.concatenate([np.zeros(0, self._dtype), *self._parts])

    def offsets(self) -> npt.NDArray[np.int64]:
        """Return (R + 1) places: row r lies between the r-th and the next."""
        return np.cumsum([0, *map(len, self._parts)], dtype=np.int64)


def _check(table: pl.DataFrame, config: WritingPreprocessConfig) -> None:
    """Refuse prompts that cannot be learned or judged, all at once."""
    least = (config.min_train_responses, config.min_valid_responses, config.min_valid_responses)
    problems = []
    parts = {f"prompt {name!r}": rows["side"] for (name,), rows in table.group_by("prompt", maintain_order=True)}
    if config.pool_prompts and table.height:
        parts = {"the pool of all prompts": table["side"]}
    for name, of_part in parts.items():
        sides = of_part.to_numpy()
        counts = np.bincount(sides, minlength=len(SPLITS)).tolist()
        problems += [
            f"{name} has {count} of its {len(sides)} responses in {split}, at least {needed} are needed"
            for split, count, needed in zip(SPLITS, counts, least, strict=True)
            if count < needed
        ]
    if not table.height:
        problems.append("no response has a score")
    if problems:
        raise NotEnoughDataError(
            f"{_listed(problems)}. Give more scored responses, leave the prompt out, or lower "
            "preprocess.min_train_responses and preprocess.min_valid_responses."
        )


def _listed(problems: Sequence[str], most: int = 10) -> str:
    shown: Iterable[str] = problems[:most]
    more = f"; and {len(problems) - most} more" if len(problems) > most else ""
    return f"{'; '.join(shown)}{more}"
