"""One text, read once: tokens, hashes, and what of it counts. Features, n-grams and checks all start from here."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .hashing import Hashes, Letters, letters, places, token_hashes, window_hashes
from .text import PUNCTUATION, normalise, tokens

PASSAGE_TOKENS = 8
"""So many tokens in a row, met again or taken from the prompt, count no second time."""
_MARKS = np.zeros(128, np.bool_)
_MARKS[[ord(mark) for mark in PUNCTUATION]] = True


@dataclass(frozen=True, slots=True)
class Reading:
    """The tokens of a text that count, and how much of it was left out.

    Shapes: T tokens that count.
    """

    words: list[str]
    """The tokens, in their own case."""
    letters: Letters
    hashes_T: Hashes
    is_word_T: npt.NDArray[np.bool_]
    """False for punctuation."""
    written: int
    """Tokens as written, before repetitions and the prompt's own passages were left out."""
    repeated_share: float
    copied_share: float

    @property
    def word_count(self) -> int:
        """Words that count, without punctuation."""
        return int(np.count_nonzero(self.is_word_T))


def read(text: str, prompt_passages: Hashes | None = None) -> Reading:
    """Read a text.

    Args:
        text: as written.
        prompt_passages: sorted, from `passage_hashes` of the prompt's own text.
    """
    words = tokens(normalise(text))
    found = letters(words)
    hashes = token_hashes(found)
    windows = window_hashes(hashes, PASSAGE_TOKENS)
    written = len(words)
    repeated = copied = 0.0
    if len(windows):
        again = np.ones(len(windows), np.bool_)
        again[np.unique(windows, return_index=True)[1]] = False
        taken = np.zeros(len(windows), np.bool_)
        if prompt_passages is not None and len(prompt_passages):
            taken = places(windows, prompt_passages) >= 0
        if again.any() or taken.any():
            is_copied = _covered(taken, written)
            is_repeated = _covered(again, written) & ~is_copied
            copied, repeated = float(is_copied.mean()), float(is_repeated.mean())
            words = [words[i] for i in np.flatnonzero(~(is_copied | is_repeated))]
            found = letters(words)
            hashes = token_hashes(found)
    if len(words):
        first = found.points_C[found.starts_T]
        is_word = ~_MARKS[np.where(first < len(_MARKS), first, 0).astype(np.int64)]
    else:
        is_word = np.zeros(0, np.bool_)
    return Reading(words, found, hashes, is_word, written, repeated, copied)


def passage_hashes(text: str) -> Hashes:
    """Return the sorted hashes of all passages of a text: runs of `PASSAGE_TOKENS` tokens."""
    return np.unique(window_hashes(token_hashes(letters(tokens(normalise(text)))), PASSAGE_TOKENS))


def _covered(begins_W: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.bool_]:
    """Return which of `count` tokens lie in a passage that begins at one of the windows."""
    change = np.zeros(count + 1, np.int64)
    at = np.flatnonzero(begins_W)
    np.add.at(change, at, 1)
    np.add.at(change, at + PASSAGE_TOKENS, -1)
    covered: npt.NDArray[np.bool_] = np.cumsum(change[:count]) > 0
    return covered
