"""Lists of ids: published folds, given as files with one response's id per line, in the role that they give it.

`--test-data fold_0/test_ids.txt --valid-data fold_0/dev_ids.txt` beside `--data essays.tsv --data
fold_0/train_ids.txt` says what each essay is for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from components.errors import SchemaError
from components.ingest.files import RawFile, open_text
from components.ingest.heads import Head
from components.writing.schema import TRAIN

LONGEST_ID_CHARS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class IdList:
    """Ids of one file."""

    split: str
    """`train`, `valid` or `test`."""
    ids: tuple[str, ...]
    """Without repeats."""


def is_id_list(head: Head, text_column: str | None) -> bool:
    """Return whether a file is a list of ids: every line a single word.

    Args:
        head: of the file.
        text_column: the column with texts where a mapping names one; a file that begins with it is a table.
    """
    if head.format != "text" or not head.lines or head.lines[0].strip() == text_column:
        return False
    lines = [line.strip() for line in head.lines]
    return all(
        len(line) <= LONGEST_ID_CHARS and len(line.split()) == 1 and "<" not in line for line in lines
    ) and not any(mark in line for line in lines for mark in ",;|")


def read_id_list(file: RawFile, column: str) -> tuple[IdList, int]:
    """Return the ids of a file and its number of blank lines; `column`, the ids' name in the tables, may stand on top.

    Raises:
        SchemaError: it is no UTF-8.
    """
    with open_text(file) as stream:
        body = stream.read()
    try:
        lines = [line.strip() for line in body.decode().splitlines()]
    except UnicodeDecodeError:
        raise SchemaError(
            f"{file.name} begins like a list of ids, but is no UTF-8; expected one id per line. Save it again as UTF-8."
        ) from None
    ids = [line for line in lines if line]
    if ids and ids[0] == column:
        ids = ids[1:]
    split = TRAIN if file.role == "any" else file.role
    return IdList(split=split, ids=tuple(dict.fromkeys(ids))), len(lines) - len([line for line in lines if line])


def declared(responses: pl.DataFrame, lists: Sequence[IdList], known: pl.Series, rows_unreadable: int) -> pl.DataFrame:
    """Return the responses with `declared_split` as the lists say; null for those in none.

    Args:
        responses: in `FIXED_SCHEMA`.
        lists: of all files.
        known: raw ids of all responses read, those in quarantine too.
        rows_unreadable: rows that could not be taken apart, so that their ids are not known.

    Raises:
        SchemaError: ids that no response has, ids in two lists of different splits, or splits said in two ways.
    """
    if not lists:
        return responses
    listed = pl.concat(
        pl.DataFrame({"id": one.ids, "split": [one.split] * len(one.ids)}, schema={"id": pl.String, "split": pl.String})
        for one in lists
    ).unique(maintain_order=True)
    twice = int(listed["id"].is_duplicated().sum() - listed.filter(pl.col("id").is_duplicated())["id"].n_unique())
    if twice:
        raise SchemaError(
            f"{twice} ids stand in lists of different splits; expected each response in one. Take each out of all but "
            "one of the lists given for training, validation and testing."
        )
    unknown = int((~listed["id"].is_in(known.implode())).sum())
    if unknown > rows_unreadable:
        raise SchemaError(
            f"{unknown} of {listed.height} ids in the lists belong to no response in the data; expected ids as the "
            "column of response ids has them. Check that lists and data are of the same set, and that the mapping "
            "names the column."
        )
    if responses["declared_split"].null_count() < responses.height:
        raise SchemaError(
            "The data say what responses are for by a column or the role of their file, and lists of ids say it too; "
            "expected one of the two. Drop the column from the mapping, or leave the lists out."
        )
    split = pl.col("response").replace_strict(listed["id"], listed["split"], default=None, return_dtype=pl.String)
    return responses.with_columns(pl.when("is_named").then(split).alias("declared_split"))
