"""Splitting responses: a student is wholly in one split, and so is a text that several students handed in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from components.preprocess.split import TEST, TRAIN, VALID, split_of_students
from components.writing.preprocess.config import WritingPreprocessConfig

SIDES = {"train": TRAIN, "valid": VALID, "test": TEST}


@dataclass(frozen=True, slots=True)
class Divided:
    """Sides of the responses."""

    side_N: npt.NDArray[np.int8]
    """0 train, 1 valid, 2 test."""
    crossing: int
    """Responses whose student or text is also in another split, because the data declare it so."""


def divide(responses: pl.DataFrame, config: WritingPreprocessConfig) -> Divided:
    """Return each response's split.

    Where the data declare splits, they are followed, response by response; what is not declared goes where others of
    the same student are. Otherwise a hash of the student's pseudonym decides, so that later students move nobody, other
    than those whose text they hand in again.

    Args:
        responses: `response`, `student`, `prompt`, `text`, `declared_split`.
        config: shares and seed, and whether students stay whole.
    """
    students = responses["student" if config.split_by == "student" else "response"].to_list()
    unit_N = units(students, responses["prompt"].to_list(), responses["text"].to_list())
    declared = responses["declared_split"].to_list()
    names: dict[int, str] = {}
    for unit, student in zip(unit_N.tolist(), students, strict=True):
        names[unit] = min(student, names.get(unit, student))
    side_N = split_of_students(
        [names[unit] for unit in unit_N.tolist()],
        declared,
        valid_share=config.valid_share,
        test_share=config.test_share,
        seed=config.split_seed,
    )
    of_unit: dict[int, int] = {}
    for n, said in enumerate(declared):
        if said is not None:
            side_N[n] = SIDES[said]
            of_unit[int(unit_N[n])] = max(SIDES[said], of_unit.get(int(unit_N[n]), TRAIN))
    for n, said in enumerate(declared):
        if said is None and int(unit_N[n]) in of_unit:
            side_N[n] = of_unit[int(unit_N[n])]
    sides = pl.DataFrame({"unit": unit_N, "side": side_N}).group_by("unit").agg(pl.col("side").n_unique(), pl.len())
    return Divided(side_N, int(sides.filter(pl.col("side") > 1)["len"].sum()))


def units(students: Sequence[str], prompts: Sequence[str], texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the unit of each response: responses that share a student, or a prompt and a text, share a unit.

    Texts are the same when their words are, whatever the spaces and capitals.
    """
    parent = list(range(len(students)))

    def root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    first: dict[tuple[str, str], int] = {}
    for n, (student, prompt, text) in enumerate(zip(students, prompts, texts, strict=True)):
        for key in (("", student), (prompt, " ".join(text.lower().split()))):
            other = first.setdefault(key, n)
            parent[root(n)] = root(other)
    return np.fromiter((root(n) for n in range(len(students))), np.int64, len(students))
