"""The subject of an erasure: what tells a student's data, read from the artifacts that hold them while they are there.

Shapes: F features of a text.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from components.errors import StoreError
from components.schema import INTERACTIONS, SKILL_SETS
from components.tombstones import name_of
from components.writing.codec import Codec
from components.writing.preprocess.arrays import TextArrays
from components.writing.schema import RESPONSES

SHORTEST_TEXT = 40
"""Characters; a shorter text may well be somebody else's too, or stand in one."""
FEWEST_FEATURES = 4
"""Different numbers that a row of features has at least, to be somebody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A student. Never shown, logged or stored."""

    pseudonym: str
    responses: frozenset[str] = frozenset()
    """Pseudonyms of their responses."""
    texts: frozenset[tuple[str, str]] = frozenset()
    """(prompt, text) of these, each of nobody else."""
    rows: frozenset[bytes] = frozenset()
    """Their texts' standardised features as a kernel model keeps them, float64, each of nobody else."""
    names: frozenset[str] = frozenset()
    """Items and skills that only they met: a vocabulary with one of these knows it from them."""

    def and_(self, other: "Subject") -> "Subject":
        """Return both together."""
        return replace(
            self,
            responses=self.responses | other.responses,
            texts=self.texts | other.texts,
            rows=self.rows | other.rows,
            names=self.names | other.names,
        )

    def pseudonyms(self) -> list[str]:
        """Return all pseudonyms that are theirs."""
        return sorted({self.pseudonym, *self.responses})

    def long_texts(self) -> list[str]:
        """Return the texts that are long enough to be looked for."""
        return sorted({text for _, text in self.texts if len(text) >= SHORTEST_TEXT})


def read_logs(folder: Path, pseudonym: str) -> tuple[Subject, frozenset[int]]:
    """Return what student logs tell of a student, and the indices of the raw files that they stand in."""
    own = pl.col("student") == pseudonym
    rows = pl.read_parquet(folder / INTERACTIONS, columns=["student", "item", "skill_set", "file"])
    skills = pl.read_parquet(folder / SKILL_SETS).explode("skills").rename({"skills": "name"})
    pairs = pl.concat(
        [
            rows.select("student", name="item"),
            rows.select("student", "skill_set").join(skills, on="skill_set").select("student", "name"),
        ]
    ).drop_nulls()
    alone = pairs.group_by("name").agg(own.all().alias("theirs")).filter("theirs")["name"].to_list()
    files = rows.filter(own)["file"].unique().to_list()
    return Subject(pseudonym=pseudonym, names=frozenset(alone)), frozenset(files)


def read_writing(folder: Path, pseudonym: str) -> tuple[Subject, frozenset[int]]:
    """Return what scored writing tells of a student, and the indices of the raw files that they stand in."""
    rows = pl.read_parquet(folder / RESPONSES, columns=["response", "student", "prompt", "text", "file"])
    own, others = rows.filter(pl.col("student") == pseudonym), rows.filter(pl.col("student") != pseudonym)
    texts = frozenset(
        (prompt, text)
        for prompt, text in own.select("prompt", "text").unique().iter_rows()
        if not others["text"].str.contains(text, literal=True).any()
    )
    subject = Subject(pseudonym=pseudonym, responses=frozenset(own["response"].to_list()), texts=texts)
    return subject, frozenset(own["file"].unique().to_list())


def read_texts(folder: Path, pseudonym: str) -> Subject:
    """Return what a text dataset tells of a student: rows of features, as kernel models hold those of their training.

    Raises:
        StoreError: its codec cannot be read, so that nobody could say which models hold such rows.
    """
    try:
        codec = Codec.from_json(json.loads((folder / "codec.json").read_text(encoding="utf-8")))
        arrays = TextArrays.open(folder, "train")
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"A text dataset in {folder.parent} cannot be read ({type(error).__name__}), so nobody can say which "
            "models hold rows of it. Erase with the homeroom that made it."
        ) from error
    kept = pl.read_parquet(folder / RESPONSES, columns=["student", "split"]).filter(pl.col("split") == "train")
    is_own = (kept["student"] == pseudonym).to_numpy()
    if not is_own.any():
        return Subject(pseudonym=pseudonym)
    of_own: set[bytes] = set()
    of_others: set[bytes] = set()
    for index, terms in enumerate(codec.prompts):
        at = np.flatnonzero(arrays.prompt_R == index)
        rows = terms.standardised(arrays.features_RF[at]).astype("<f8")
        for row, mine in zip(rows, is_own[at].tolist(), strict=True):
            (of_own if mine else of_others).add(row.tobytes())
    telling = {row for row in of_own - of_others if len(np.unique(np.frombuffer(row, "<f8"))) >= FEWEST_FEATURES}
    return Subject(pseudonym=pseudonym, rows=frozenset(telling))


def members_of(students: Iterable[str]) -> list[str]:
    """Return the beginnings of the names that tombstones of these students would have, sorted.

    They stay when the data go, so that a later erasure still finds which releases were made from somebody's data.
    """
    return sorted(name_of(student)[:MEMBER_LENGTH] for student in students)


MEMBER_LENGTH = 16
