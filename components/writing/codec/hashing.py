"""Hashed n-grams of a text's tokens and characters, by numpy on whole arrays.

Shapes: C characters of the text (its tokens between single spaces), T tokens, G n-grams. All hashes are 64 bits: with
100,000 n-grams in a vocabulary, a foreign one is taken for a known one about once in 10^14.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

SPACE = 32
WINDOW_TOKENS = 8
"""Of the runs that tell a passage met again: three doublings."""
_LONGEST = 512  # more letters than a token can have, even where lower case takes two for one
# Odd constants without structure; any would do, but they are part of the format.
_LETTER, _FINISH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD)
_LEFT, _RIGHT = np.uint64(0xC4CEB9FE1A85EC53), np.uint64(0xD6E8FEB86659FD93)
_FOURTH, _WINDOW = np.uint64(0xA0761D6478BD642F), np.uint64(0xE7037ED1A0B428DB)
# Powers that belong to the lengths, so that the whole is a polynomial: no two orders of tokens look alike.
_WINDOW_FACTORS = tuple(np.uint64(pow(int(_WINDOW), span, 1 << 64)) for span in (1, 2, 4))
_POWERS = np.cumprod(np.concatenate([np.ones(1, np.uint64), np.full(_LONGEST - 1, _LETTER)]), dtype=np.uint64)
_HIGH = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Letters:
    """A text as code points: its tokens in lower case, with one space before, between and behind them."""

    points_C: Hashes
    starts_T: npt.NDArray[np.int64]
    lengths_T: npt.NDArray[np.int64]


def letters(words: list[str]) -> Letters:
    """Return the code points of tokens; none of which may hold a space."""
    if not words:
        return Letters(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    line = f" {' '.join(words)} ".lower()
    points = np.frombuffer(line.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    spaces = (points == SPACE).nonzero()[0]
    return Letters(points, spaces[:-1] + 1, spaces[1:] - spaces[:-1] - 1)


def token_hashes(found: Letters) -> Hashes:
    """Return one hash per token: a polynomial of its code points, mixed so that the high bits hang on all of them."""
    if not len(found.starts_T):
        return np.zeros(0, np.uint64)
    # A token's space belongs to the run that begins at the token, times a power that makes lengths differ.
    begin = int(found.starts_T[0])
    runs = found.lengths_T + 1
    place = np.arange(begin, len(found.points_C)) - np.repeat(found.starts_T, runs)
    terms = found.points_C[begin:] * _POWERS[place]
    sums = np.add.reduceat(terms, found.starts_T - begin)
    mixed: Hashes = (sums ^ (sums >> _HIGH)) * _FINISH
    return mixed


def pair_hashes(hashes_T: Hashes) -> Hashes:
    """Return one hash per pair of neighbours."""
    pairs: Hashes = hashes_T[:-1] * _LEFT + hashes_T[1:] * _RIGHT
    return pairs


def window_hashes(hashes_T: Hashes) -> Hashes:
    """Return one hash per run of `WINDOW_TOKENS` tokens; none where there are fewer."""
    if len(hashes_T) < WINDOW_TOKENS:
        return np.zeros(0, np.uint64)
    found = hashes_T
    for doubling, factor in enumerate(_WINDOW_FACTORS):  # of two neighbouring runs one of twice the length
        found = found[: -(1 << doubling)] * factor + found[1 << doubling :]
    return found


def trigram_keys(points_C: Hashes) -> Hashes:
    """Return one key per three neighbouring characters; a code point has 21 bits, so keys are exact."""
    if len(points_C) < 3:
        return np.zeros(0, np.uint64)
    keys: Hashes = (points_C[:-2] << np.uint64(42)) | (points_C[1:-1] << np.uint64(21)) | points_C[2:]
    return keys


def fourgram_hashes(points_C: Hashes, trigrams: Hashes) -> Hashes:
    """Return one hash per four neighbouring characters."""
    if len(points_C) < 4:
        return np.zeros(0, np.uint64)
    found: Hashes = trigrams[:-1] * _FOURTH + points_C[3:]
    return found


def counted(hashes_G: Hashes) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the distinct hashes in order, and how often each occurs."""
    if not len(hashes_G):
        return hashes_G, np.zeros(0, np.int64)
    ordered = np.sort(hashes_G)
    is_first = np.empty(len(ordered) + 1, np.bool_)
    is_first[0] = is_first[-1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:-1])
    first = is_first.nonzero()[0]
    return ordered[first[:-1]], first[1:] - first[:-1]


def places(hashes_G: Hashes, vocabulary_V: Hashes) -> npt.NDArray[np.int64]:
    """Return where each hash stands in a sorted vocabulary, -1 where it does not."""
    if not len(vocabulary_V):
        return np.full(len(hashes_G), -1, np.int64)
    at = vocabulary_V.searchsorted(hashes_G)
    at[at == len(vocabulary_V)] = 0
    at[vocabulary_V[at] != hashes_G] = -1
    return at
