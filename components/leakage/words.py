"""Texts as numbers of words, and the sets of their runs of words (shingles).

Shapes: N texts, W words of all texts, R distinct runs of each text, text by text.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

_ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # written without spaces
_WORD = rf"[{_ALONE}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_ALONE}]]+"
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Runs:
    """Sets of runs: text n has `run_R[offsets_N1[n]:offsets_N1[n + 1]]`, sorted. Rarer runs have smaller numbers."""

    run_R: npt.NDArray[np.int64]
    offsets_N1: npt.NDArray[np.int64]


def words_of(texts: pl.Series) -> pl.Series:
    """Return the lists of words: letters and digits, in small letters and compatible forms, without marks.

    Characters that nobody sees (soft hyphens, joiners, directions), as copying from pages leaves them, part no word.
    """
    return texts.str.normalize("NFKC").str.replace_all(r"\p{Cf}", "").str.to_lowercase().str.extract_all(_WORD)


def plain(texts: pl.Series, words: pl.Series) -> pl.Series:
    """Return what makes two texts the same: their words, or where they have none, their characters."""
    frame = pl.DataFrame({"words": words.list.join(" "), "characters": texts.str.strip_chars()})
    return frame.select(pl.when(pl.col("words") == "").then("characters").otherwise("words").alias("plain"))["plain"]


def runs_of(words: pl.Series, length: int, least: int) -> Runs:
    """Return the distinct runs of `length` words of each text; of texts with fewer than `least` words none.

    Runs are numbered exactly, not hashed: equal numbers are equal runs.
    """
    words_N = words.list.len().to_numpy().astype(np.int64)
    flat = words.explode(empty_as_null=False, keep_nulls=False)
    code_W = flat.cast(pl.Categorical).to_physical().to_numpy().astype(np.int64)
    text_W = np.repeat(np.arange(len(words_N)), words_N)
    left_W = np.repeat(np.cumsum(words_N), words_N) - np.arange(len(code_W))
    first = np.flatnonzero((left_W >= length) & (words_N[text_W] >= least))
    code_W, base = _dense_small(code_W)
    run, size = code_W[first], base
    for place in range(1, length):
        if size * base > _LARGEST:
            run, size = _dense(run)
        run, size = run * base + code_W[first + place], size * base
    run, count = _dense(run)
    # the least frequent ones first, where they occur so often that it matters
    often = np.minimum(np.bincount(run, minlength=count), np.iinfo(np.uint16).max).astype(np.uint16)
    rank = np.empty(count, np.int64)
    rank[np.argsort(often, kind="stable")] = np.arange(count)
    elements = np.sort(text_W[first] * count + rank[run])
    new = np.ones(len(elements), np.bool_)
    new[1:] = elements[1:] != elements[:-1]
    elements = elements[new]
    offsets = np.searchsorted(elements, np.arange(len(words_N) + 1) * count)
    return Runs(elements - np.repeat(np.arange(len(words_N)) * count, np.diff(offsets)), offsets.astype(np.int64))


def _dense_small(code: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Return codes numbered without gaps, and how many there are; for codes that make no long table."""
    present = np.zeros(int(code.max(initial=0)) + 1, np.bool_)
    present[code] = True
    return (np.cumsum(present) - 1)[code], int(present.sum())


def _dense(code: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Return codes numbered without gaps, and how many there are, at least 1."""
    order = np.argsort(code)
    ordered = code[order]
    number = np.zeros(len(code), np.int64)
    number[order[1:]] = np.cumsum(ordered[1:] != ordered[:-1])
    return number, int(number.max(initial=0)) + 1
