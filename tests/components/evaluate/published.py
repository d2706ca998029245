"""Published files as splits, read without ingest: one window per student."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from components.evaluate.sequences import Split


def read_three_lines(path: Path) -> Split:
    """Read number of answers, question ids, answers; ids stand for skills."""
    with gzip.open(path, "rt") as stream:
        lines = [[int(v) for v in line.strip().strip(",").split(",")] for line in stream if line.strip()]
    skills, answers = lines[1::3], lines[2::3]
    skill = np.concatenate([np.array(s, np.int32) for s in skills])
    right = np.concatenate([np.array(a, np.float32) for a in answers])
    return _split(np.zeros(len(skill), np.int32), skill, right, [len(s) for s in skills])


def read_item_rows(train: Path, test: Path) -> tuple[Split, Split]:
    """Read tables of `user_id`, `item_id`, `skill_id`, `correct`; items of the test file alone are unknown ones."""
    tables = [pl.read_csv(path, separator="\t").sort("user_id", maintain_order=True) for path in (train, test)]
    splits = []
    for table in tables:
        columns: dict[str, npt.NDArray[np.int32]] = {}
        for name in ("item_id", "skill_id"):
            known = tables[0][name].unique().sort()
            place = np.searchsorted(known.to_numpy(), table[name].to_numpy())
            is_known = table[name].is_in(known.implode()).to_numpy()
            columns[name] = np.where(is_known, place + 2, 1).astype(np.int32)
        right = table["correct"].cast(pl.Float32).to_numpy()
        splits.append(
            _split(columns["item_id"], columns["skill_id"], right, table["user_id"].rle().struct.field("len").to_list())
        )
    return splits[0], splits[1]


def _split(
    items: npt.NDArray[np.int32], skill: npt.NDArray[np.int32], right: npt.NDArray[np.float32], sizes: Sequence[int]
) -> Split:
    lengths = np.array(sizes, np.int32)
    return Split(
        items=items,
        skills=skill[:, None],
        responses=right,
        scored=np.ones(len(items), np.bool_),
        position=np.concatenate([np.arange(n, dtype=np.uint32) for n in lengths]),
        starts=np.cumsum(lengths, dtype=np.int64) - lengths,
        lengths=lengths,
        window_student=np.arange(len(lengths), dtype=np.int32),
    )
