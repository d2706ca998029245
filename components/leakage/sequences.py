"""All checks of student logs: the dataset's splits against the interactions that they were made from.

Shapes: S students, as they lie in `interactions` and in the dataset's `students.parquet`.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from components import schema
from components.artifacts import JsonValue, SequenceDataset
from components.errors import SchemaError
from components.evaluate.sequences import Split, read_split
from components.leakage.config import LeakageConfig
from components.leakage.copies import Copies, find_copies
from components.leakage.findings import PAIRS, Check, leakage_finding
from components.leakage.order import Timed, check_time
from components.leakage.protocol import check_protocol
from components.leakage.students import check_students
from components.preprocess.split import SPLITS, TRAIN

COPIED = "copied_student_share"
_COLUMNS = ("student", "item", "skill_set", "correct", "score", "time_ms")


def check_sequences(logs: Path, folder: Path, data: SequenceDataset, config: LeakageConfig) -> list[Check]:
    """Return what all checks found.

    Args:
        logs: what ingest published.
        folder: the dataset.
        data: its handle.
        config: of the stage.

    Raises:
        SchemaError: they do not fit together.
    """
    interactions = pl.read_parquet(logs / schema.INTERACTIONS, columns=list(_COLUMNS))
    runs = interactions["student"].rle().struct.unnest()
    lengths_S = runs["len"].to_numpy().astype(np.int64)
    names = pl.read_parquet(folder / schema.STUDENTS, columns=["student"])["student"].cast(pl.String)
    if not names.equals(runs["value"].cast(pl.String).rename("student")):
        raise SchemaError(
            f"The dataset's {schema.STUDENTS} has {len(names)} rows, the logs have {len(runs)} students in a row, and "
            "they are not the same in the same order. Give the logs that the dataset was made from."
        )
    number_S = names.rank("dense").to_numpy().astype(np.int64)  # of the same student twice, the same
    splits = {name: read_split(folder, name) for name in SPLITS}
    by_time = data.split == "time"
    own = [number_S[_windows_of(split, name, len(names))] for name, split in splits.items()]
    checks = [check_students(own, config.students, by_time=by_time)]
    rows = {name: _rows_of(split, name, lengths_S) for name, split in splits.items()}
    times, time = interactions["time_ms"], interactions["time_ms"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    timed = [
        Timed(
            student_N=split.student(),
            position_N=np.asarray(split.position).astype(np.int64),
            time_N=time[rows[name]],
            scored_N=np.asarray(split.scored),
        )
        for name, split in splits.items()
    ]
    checks.append(check_time(timed, data.begins_ms, config.time))
    del timed
    answered = interactions.select(
        "item",
        "skill_set",
        "correct",
        "score",
        right=(pl.coalesce(pl.col("correct").cast(pl.Float32), "score") >= 0.5).fill_null(False),
    )
    copies = find_copies(answered, times, lengths_S, config.min_copied_bits)
    side_S = np.full(len(names), -1, np.int8)
    if not by_time:
        for number, split in enumerate(splits.values()):
            side_S[np.asarray(split.window_student)] = number
    checks.append(check_copies(copies, side_S, config))
    repeat = interactions.select(
        ((pl.col("item") == pl.col("item").shift()) & (pl.col("student") == pl.col("student").shift())).fill_null(False)
    )["item"].to_numpy()
    repeats = {name: repeat[rows[name][np.asarray(split.scored)]] for name, split in splits.items()}
    checks.append(check_protocol(data.protocol, repeats, config.protocol))
    return checks


def check_copies(copies: Copies, side_S: npt.NDArray[np.int8], config: LeakageConfig) -> Check:
    """Return how many held-out students have the sequence of a student of an earlier split.

    Args:
        copies: classes of students with equal sequences.
        side_S: each student's split, -1 where there is none, or where the split is by time: each answer then is only
            where it belongs, and copies are counted but cross nothing.
        config: of the stage.
    """
    side_C = side_S[copies.student_C]
    _, class_C = np.unique(copies.class_C, return_inverse=True)
    counts = np.stack([np.bincount(class_C, side_C == s, int(class_C.max(initial=-1)) + 1) for s in range(3)], axis=1)
    size = np.bincount(class_C)
    crossing: dict[str, JsonValue] = {
        f"{SPLITS[a]} & {SPLITS[b]}": int((counts[:, a] * counts[:, b]).sum()) for a, b in PAIRS
    }
    earliest = np.where(counts > 0, np.arange(3), 3).min(axis=1, initial=3)
    held_out = int((side_S > TRAIN).sum())
    copied = int((side_C > earliest[class_C]).sum()) if len(side_C) else 0
    share = copied / held_out if held_out else 0.0
    figures: dict[str, JsonValue] = {
        "students": len(copies.student_C),
        "pairs": int((size * (size - 1) // 2).sum()),
        "with_same_times": int(copies.same_times_C.sum()),
        "crossing": crossing,
        "held_out": held_out,
        "copied": copied,
        "min_bits": config.min_copied_bits,
    }
    over = share > config.max_copied_share
    reason = (
        f"{copied} of {held_out} held-out students have, answer by answer, the sequence of one of an earlier split"
        if copied
        else "no held-out student has the whole sequence of one of an earlier split"
    )
    finding = leakage_finding(
        COPIED,
        value=share,
        limit=config.max_copied_share,
        n=held_out,
        outcome=config.copies if over else "pass",
        reason=reason,
    )
    return Check(name="sequences", findings=(finding,), figures=figures)


def _windows_of(split: Split, name: str, students: int) -> npt.NDArray[np.int32]:
    own = np.asarray(split.window_student)
    if len(own) and (own.min() < 0 or own.max() >= students):
        raise SchemaError(
            f"window_student of split {name!r} goes from {own.min()} to {own.max()}; {schema.STUDENTS} has {students} "
            "rows, numbered from 0. Run preprocess again."
        )
    return own


def _rows_of(split: Split, name: str, lengths_S: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the row of `interactions` of each step."""
    student_N = split.student()
    position_N = np.asarray(split.position).astype(np.int64)
    beyond = int((position_N >= lengths_S[student_N]).sum())
    if beyond:
        raise SchemaError(
            f"Split {name!r} has {beyond} steps beyond the end of their student's answers. Give the logs that the "
            "dataset was made from, or run preprocess again."
        )
    starts_S = np.cumsum(lengths_S) - lengths_S
    return starts_S[student_N] + position_N
