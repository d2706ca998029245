"""BPE on bytes (RoBERTa, GPT-2): a text is cut into words with the space before them, their bytes joined by rank."""

import heapq
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .wordpieces import WHITE_SPACE

_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
# Over classes of characters: L letters, N numbers, O others, "_" the space, "s" other white space.
_RUN = re.compile(r"_?L+|_?N+|_?O+|[_s]+(?![LNO])|[_s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class BytePairs:
    """The model and the settings of a tokenizer on bytes."""

    numbers: Mapping[str, int]
    ranks: Mapping[tuple[str, str], int]
    """Pair of neighbours -> its place among the merges: the lowest is joined first."""
    is_prefixed: bool
    """A text that does not begin with a space gets one."""
    is_whole_first: bool
    """A word that is in the vocabulary is not taken apart."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "BytePairs":
        """Read the parts of a `tokenizer.json`.

        Raises:
            ValueError: it does not work on bytes, or has a setting that is not read here.
        """
        model, splitter = value["model"], value.get("pre_tokenizer") or {}
        wrong = [
            name
            for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
            if model.get(name)
        ]
        if value.get("normalizer") is not None:
            wrong.append("normalizer")
        if splitter.get("type") != "ByteLevel" or not splitter.get("use_regex", True) or wrong:
            named = f" and the settings {', '.join(wrong)}" if wrong else ""
            raise ValueError(
                f"The BPE tokenizer has the pre_tokenizer {splitter.get('type')!r}{named}; expected ByteLevel with its "
                "own rule and no others. Use an encoder with the tokenizer of RoBERTa or GPT-2."
            )
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        return cls(
            numbers=model["vocab"],
            ranks={(left, right): rank for rank, (left, right) in enumerate(pairs)},
            is_prefixed=splitter["add_prefix_space"],
            is_whole_first=bool(model.get("ignore_merges")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the parts of a `tokenizer.json` that `from_json` reads."""
        return {
            "model": {
                "type": "BPE",
                "vocab": dict(self.numbers),
                "merges": [list(pair) for pair in sorted(self.ranks, key=lambda pair: self.ranks[pair])],
                "ignore_merges": self.is_whole_first,
            },
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": self.is_prefixed, "use_regex": True},
        }

    def ids(self, text: str) -> list[int]:
        """Return the numbers of the pieces; a byte that the vocabulary lacks has none."""
        if self.is_prefixed and text and not text.startswith(" "):
            text = f" {text}"
        found: list[int] = []
        for word in words(text):
            letters = "".join(_LETTERS[byte] for byte in word.encode("utf-8", "replace"))
            if self.is_whole_first and letters in self.numbers:
                found.append(self.numbers[letters])
                continue
            found += [self.numbers[piece] for piece in self._joined(letters) if piece in self.numbers]
        return found

    def _joined(self, letters: str) -> list[str]:
        """Join neighbours, the pair of the lowest rank first and of equals the leftmost, until none has a rank."""
        pieces: list[str | None] = list(letters)
        following = [*range(1, len(letters)), -1]
        previous = list(range(-1, len(letters) - 1))
        waiting: list[tuple[int, int, str, str]] = []

        def look(at: int) -> None:
            after = following[at]
            left = pieces[at]
            if after < 0 or left is None:
                return
            right = pieces[after]
            assert right is not None  # what follows is alive
            rank = self.ranks.get((left, right))
            if rank is not None:
                heapq.heappush(waiting, (rank, at, left, right))

        for at in range(len(letters)):
            look(at)
        while waiting:
            _, at, left, right = heapq.heappop(waiting)
            after = following[at]
            if pieces[at] != left or after < 0 or pieces[after] != right:
                continue  # one of them was joined with another before
            pieces[at], pieces[after] = left + right, None
            following[at] = following[after]
            if following[at] >= 0:
                previous[following[at]] = at
            if previous[at] >= 0:
                look(previous[at])
            look(at)
        return [piece for piece in pieces if piece is not None]


def words(text: str) -> list[str]:
    """Cut a text as GPT-2 does: contractions, letters, numbers and others, each with a space before it, and spaces."""
    kinds = "".join(map(_kind, text))
    found, at = [], 0
    while at < len(text):
        end = 0
        if text[at] == "'":
            end = next((at + len(c) for c in _CONTRACTIONS if text.startswith(c, at)), 0)
        if not end:
            run = _RUN.match(kinds, at)
            assert run is not None  # every class is in it
            end = run.end()
        found.append(text[at:end])
        at = end
    return found


@lru_cache(maxsize=1 << 12)
def _kind(character: str) -> str:
    if character == " ":
        return "_"
    if character in WHITE_SPACE:
        return "s"
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "O"


def _letters() -> tuple[str, ...]:
    """Return a printable character for each byte, as GPT-2 names them."""
    shown = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte) if byte in shown else chr(next(others)) for byte in range(256))


_LETTERS = _letters()
