"""One text, read once: tokens, hashes, and what of it counts. Features, n-grams and checks all start from here."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .hashing import WINDOW_TOKENS, Hashes, Letters, counted, letters, places, token_hashes, window_hashes
from .text import PUNCTUATION, normalise, tokens

_NO_MARK = np.uint64(127)
_MARKS = np.zeros(128, np.bool_)
_MARKS[[ord(mark) for mark in PUNCTUATION]] = True


@dataclass(frozen=True, slots=True)
class Reading:
    """The tokens of a text that count, and how much of it was left out.

    Shapes: T tokens that count, S distinct words.
    """

    text: str
    """Normalised; where passages were left out, the other tokens between single spaces."""
    words: list[str]
    """The tokens, in their own case."""
    letters: Letters
    hashes_T: Hashes
    is_word_T: npt.NDArray[np.bool_]
    """False for punctuation."""
    distinct_S: Hashes
    """Sorted distinct words, without punctuation, and how often each occurs."""
    times_S: npt.NDArray[np.int64]
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

    So many tokens in a row as `WINDOW_TOKENS`, met again or taken from the prompt, count no second time.

    Args:
        text: as written.
        prompt_passages: sorted, from `passage_hashes` of the prompt's own text.
    """
    text = normalise(text)
    words = tokens(text)
    found = letters(words)
    hashes = token_hashes(found)
    windows = window_hashes(hashes)
    written = len(words)
    repeated = copied = 0.0
    taken = places(windows, prompt_passages) >= 0 if prompt_passages is not None and len(prompt_passages) else None
    ordered = np.sort(windows)
    if (ordered[1:] == ordered[:-1]).any() or (taken is not None and taken.any()):
        again = np.ones(len(windows), np.bool_)
        again[np.unique(windows, return_index=True)[1]] = False
        is_copied = _covered(taken, written) if taken is not None else np.zeros(written, np.bool_)
        is_repeated = _covered(again, written) & ~is_copied
        copied, repeated = float(is_copied.mean()), float(is_repeated.mean())
        words = [words[i] for i in (~(is_copied | is_repeated)).nonzero()[0].tolist()]
        text = " ".join(words)
        found = letters(words)
        hashes = token_hashes(found)
    if len(words):
        first = found.points_C[found.starts_T]
        is_word = ~_MARKS[np.minimum(first, _NO_MARK).astype(np.int64)]
    else:
        is_word = np.zeros(0, np.bool_)
    distinct, times = counted(hashes[is_word])
    return Reading(text, words, found, hashes, is_word, distinct, times, written, repeated, copied)


def passage_hashes(text: str) -> Hashes:
    """Return the sorted hashes of all passages of a text: runs of `WINDOW_TOKENS` tokens."""
    return np.unique(window_hashes(token_hashes(letters(tokens(normalise(text))))))


def _covered(begins_W: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.bool_]:
    """Return which of `count` tokens lie in a passage that begins at one of the windows."""
    change = np.zeros(count + 1, np.int64)
    at = begins_W.nonzero()[0]
    np.add.at(change, at, 1)
    np.add.at(change, at + WINDOW_TOKENS, -1)
    covered: npt.NDArray[np.bool_] = np.cumsum(change[:count]) > 0
    return covered
