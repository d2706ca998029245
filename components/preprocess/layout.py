"""Writes a sequence dataset: flat memory-mappable arrays per split with window starts and lengths.

See `SequenceDataset` for the files. Rows of a split are its students' sequences one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from components import schema
from components.app import Codec
from components.errors import NotEnoughDataError
from components.mitigation.attributes import values_of
from components.mitigation.groups import ARRAY as WINDOW_GROUP
from components.mitigation.groups import KEY, groups_to_map, with_groups
from components.mitigation.reweighing import weights_of, write_weights
from components.parquet import write_parquet
from components.preprocess.config import PreprocessConfig
from components.preprocess.encoder import SequenceEncoder
from components.preprocess.parts import Part, divide
from components.preprocess.split import SPLITS, TRAIN, VALID
from components.preprocess.windows import cut_windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What was written."""

    codec: dict[str, Any]  # Any: the codec's own JSON
    arrays: tuple[str, ...]
    steps: dict[str, int]
    windows: dict[str, int]
    students: dict[str, int]
    begins_ms: tuple[int, int] | None
    """When validation and testing begin, where the split is by time."""


def write_dataset(source: Path, target: Path, encoder: SequenceEncoder, config: PreprocessConfig) -> Layout:
    """Write the dataset of the logs in `source` below `target` and say what it holds.

    Raises:
        NotEnoughDataError: there is no student to train on, to validate on or to test on, or no step to predict there.
        ConfigError: answers are to be weighed or mapped by an attribute that students do not have.
    """
    interactions = pl.read_parquet(source / schema.INTERACTIONS)
    skill_sets = pl.read_parquet(source / schema.SKILL_SETS).sort("skill_set")
    students = pl.read_parquet(source / schema.STUDENTS)
    # Interactions are sorted by student, as the students' table is: equal runs give each student's length.
    runs = interactions["student"].rle().struct.unnest()
    order = runs["value"]
    known = students.select("student", "declared_split").join(
        pl.DataFrame({"student": order}).with_row_index("place"), on="student", how="inner", maintain_order="right"
    )
    if known.height != len(order):
        raise NotEnoughDataError(
            f"The logs name {len(order)} students in a row, their table knows {known.height}: the artifact is not what "
            "ingest writes. Run ingest again."
        )
    lengths = runs["len"].to_numpy().astype(np.int64)
    divided = divide(interactions, order.to_list(), lengths, known["declared_split"].to_list(), config)
    _check(divided.parts)
    cut = [cut_windows(part.lengths_S, config.max_len_steps) for part in divided.parts]
    scored = [_scored(part, starts) for part, (starts, _, _) in zip(divided.parts, cut, strict=True)]
    _check_scorable(divided.parts, scored, config)
    codec = encoder.fit(interactions[divided.parts[TRAIN].rows_N], skill_sets, config)
    group_S: npt.NDArray[np.int64] | None = None
    if config.map_groups.by:
        codec, group_S = _grouped(codec, students, order, divided.parts[VALID], scored[VALID], config)
    arrays = {**encoder.encode(interactions, skill_sets, codec), "position": interactions["position"].to_numpy()}

    steps, windows, counts = {}, {}, {}
    for name, part, (starts, sizes, sequence), counted in zip(SPLITS, divided.parts, cut, scored, strict=True):
        folder = target / name
        folder.mkdir()
        for array_name, array in arrays.items():
            np.save(folder / f"{array_name}.npy", array[part.rows_N])
        np.save(folder / "scored.npy", counted)
        np.save(folder / "starts.npy", starts)
        np.save(folder / "lengths.npy", sizes)
        np.save(folder / "window_student.npy", part.students_S[sequence].astype(np.int32))
        if group_S is not None:
            np.save(folder / f"{WINDOW_GROUP}.npy", group_S[part.students_S[sequence]])
        steps[name], windows[name], counts[name] = len(part.rows_N), len(starts), len(part.students_S)
    if config.reweigh.by:
        _weigh(interactions, students, order, divided.parts[TRAIN], target, config)
    write_parquet(pl.DataFrame({"student": order}), target / "students.parquet")
    return Layout(
        codec=codec.to_json(),
        arrays=tuple(sorted([*arrays, "scored"])),
        steps=steps,
        windows=windows,
        students=counts,
        begins_ms=divided.begins_ms,
    )


def _grouped(
    codec: Codec,
    students: pl.DataFrame,
    order: pl.Series,
    valid: Part,
    scored: npt.NDArray[np.bool_],
    config: PreprocessConfig,
) -> tuple[Codec, npt.NDArray[np.int64]]:
    """Return the codec with the groups that may have a map of their own, and each student's index among them."""
    by = config.map_groups.by
    values = values_of(students, order, by, f"{KEY} is {by!r}")
    answers = np.bincount(np.repeat(np.arange(len(valid.students_S)), valid.lengths_S), weights=scored)
    taking_part = valid.students_S[answers > 0]
    grouped = with_groups(codec, by, groups_to_map([values[s] for s in taking_part], config.map_groups))
    return grouped, grouped.group_indices(values)


def _weigh(
    interactions: pl.DataFrame,
    students: pl.DataFrame,
    order: pl.Series,
    train: Part,
    target: Path,
    config: PreprocessConfig,
) -> None:
    """Write the weights of training answers by group and by whether they are right."""
    by = config.reweigh.by
    values = values_of(students, order, by, f"preprocess.reweigh.by is {by!r}")
    group_N = [values[s] for s in np.repeat(train.students_S, train.lengths_S).tolist()]
    right = interactions.select((pl.coalesce(pl.col("correct").cast(pl.Float32), "score") >= 0.5).fill_null(False))
    label_N = right.to_series().to_numpy()[train.rows_N].astype(np.int64)
    write_weights(target, weights_of(group_N, label_N, config.reweigh), config.reweigh, SPLITS[TRAIN])


def _scored(part: Part, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which answers count in figures: a window's first has no history to predict it from."""
    out = part.scored_N.copy()
    out[starts] = False
    return out


def _check(parts: Sequence[Part]) -> None:
    counts = [len(part.students_S) for part in parts]
    empty = [name for name, count in zip(SPLITS, counts, strict=True) if count == 0]
    if empty:
        raise NotEnoughDataError(
            f"{sum(counts)} students leave the split(s) {', '.join(empty)} empty "
            f"({', '.join(f'{n} {c}' for n, c in zip(SPLITS, counts, strict=True))}). Give more students, or larger "
            "preprocess.valid_share and preprocess.test_share."
        )


def _check_scorable(parts: Sequence[Part], scored: Sequence[npt.NDArray[np.bool_]], config: PreprocessConfig) -> None:
    """Refuse splits in which nothing is predicted."""
    problems = [
        f"{name} ({len(part.students_S)} students, {int(part.scored_N.sum())} answers)"
        for name, part, counted in zip(SPLITS, parts, scored, strict=True)
        if not counted.any()
    ]
    if not problems:
        return
    if config.max_len_steps == 1:
        remedy = "Raise preprocess.max_len_steps: windows of one step hold nothing to predict."
    else:
        remedy = (
            "Raise preprocess.valid_share or preprocess.test_share, or give more students or longer histories (where "
            "test files are named, these are the test split)."
        )
    raise NotEnoughDataError(
        f"No step can be scored in the split(s) {', '.join(problems)}; expected at least one student with two answers "
        f"in each split, as the first step of a window has no history. {remedy}"
    )
