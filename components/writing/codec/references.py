"""How like a reference answer a response is: shared words, shared runs of characters, and the order of both.

Shapes: T words of the reference in order, S distinct words, G distinct runs of three and four characters.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from .hashing import Hashes, fourgram_hashes, places, trigram_keys
from .packing import pack, unpack
from .reading import Reading, read

MOST_WORDS = 400
"""A longer text is no short answer: so many of its first words are compared in order."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A text that a response is compared with: an answer known to be right, or the question."""

    order_T: Hashes
    words_S: Hashes
    grams_G: Hashes

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a text."""
        reading = read(text)
        return cls(reading.hashes_T[reading.is_word_T], reading.distinct_S, runs(reading))

    def to_json(self) -> dict[str, Any]:
        """Return hashes as plain JSON values."""
        return {"order": pack(self.order_T), "grams": pack(self.grams_G)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Rebuild from `to_json`'s value."""
        order = unpack(value["order"])
        return cls(order, np.unique(order), unpack(value["grams"]))


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of a response and its reference answers: for each figure that of the best of them. All in [0, 1]."""

    share: float = 0.0
    """Of a reference's distinct words that occur."""
    cosine: float = 0.0
    """Of the two sets of words."""
    precision: float = 0.0
    """Of the response's distinct words that the reference has."""
    runs: float = 0.0
    """Cosine of the two sets of runs of characters: a misspelt word still shares some."""
    order: float = 0.0
    """Twice the longest common subsequence of words over both lengths: 1 less the edits that make one of the other."""
    beyond_question: float = 0.0
    """Of a reference's words that the question lacks, the share that occurs."""


NONE = Likeness()


def likeness(reading: Reading, references: tuple[Reference, ...], question: Hashes) -> Likeness:
    """Return how like its reference answers a response is; all 0 where there are none.

    Args:
        reading: of the response.
        references: answers known to be right.
        question: sorted distinct words of the prompt's own text.
    """
    own = reading.distinct_S
    if not references or not len(own):
        return NONE
    order, grams = reading.hashes_T[reading.is_word_T][:MOST_WORDS].tolist(), runs(reading)
    found = [_with_one(own, order, grams, one, question) for one in references if len(one.words_S)]
    return Likeness(*(max(values) for values in zip(*found, strict=True))) if found else NONE


def share_of(distinct: Hashes, other: Hashes) -> float:
    """Return the share of distinct words that another sorted set has."""
    return int(np.count_nonzero(places(distinct, other) >= 0)) / len(distinct) if len(distinct) else 0.0


def runs(reading: Reading) -> Hashes:
    """Return the sorted distinct runs of three and four characters."""
    points = reading.letters.points_C
    three = trigram_keys(points)
    return np.unique(np.concatenate([three, fourgram_hashes(points, three)]))


def common_subsequence(left: list[int], right: list[int]) -> int:
    """Return the length of the longest common subsequence, by whole rows of bits (Crochemore et al. 2001)."""
    where: dict[int, int] = {}
    for place, word in enumerate(left):
        where[word] = where.get(word, 0) | (1 << place)
    full = (1 << len(left)) - 1
    row = full
    for word in right:
        met = row & where.get(word, 0)
        row = ((row + met) | (row - met)) & full
    return len(left) - row.bit_count()


def _with_one(
    own: Hashes, order: list[int], grams: Hashes, reference: Reference, question: Hashes
) -> tuple[float, float, float, float, float, float]:
    words = reference.words_S
    occurs = places(words, own) >= 0
    both = int(np.count_nonzero(occurs))
    beyond = places(words, question) < 0
    count = int(np.count_nonzero(beyond))
    right = reference.order_T[:MOST_WORDS].tolist()
    shared = int(np.count_nonzero(places(grams, reference.grams_G) >= 0))
    sizes = math.sqrt(len(grams) * len(reference.grams_G))
    return (
        both / len(words),
        both / math.sqrt(len(words) * len(own)),
        both / len(own),
        shared / sizes if sizes else 0.0,
        2.0 * common_subsequence(order, right) / (len(order) + len(right)),
        int(np.count_nonzero(occurs & beyond)) / count if count else 0.0,
    )
