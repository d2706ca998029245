"""What training saw of the language and of each prompt's topic: words with their counts, pairs and letters met.

Shapes: V known words and marks, P prompts, S distinct words of a text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .hashing import Hashes, places
from .packing import pack, unpack

PRIOR = 5.0
"""The rate of a word in all texts counts as so many texts of each prompt."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Sieve:
    """A set of hashes in few bytes: says yes to all members and to a known, small share of others.

    One bit per hash; with 32 bits or more for each member, at most 1 in 32 others passes.
    """

    bits: npt.NDArray[np.uint8]
    """2^k bits, packed eight to a byte."""

    @classmethod
    def of(cls, members: Hashes) -> Self:
        """Return the set of `members`."""
        size = max(1 << 10, 1 << int(32 * max(1, len(members)) - 1).bit_length())
        table = np.zeros(size, np.bool_)
        table[_slots(members, size)] = True
        return cls(np.packbits(table))

    def has(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Return which hashes pass."""
        slots = _slots(hashes, 8 * len(self.bits))
        found: npt.NDArray[np.bool_] = ((self.bits[slots >> 3] << (slots & 7).astype(np.uint8)) & 128).astype(np.bool_)
        return found


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Counts of documents, over all prompts' training texts."""

    hashes_V: Hashes
    """Sorted hashes of words and marks."""
    counts_PV: npt.NDArray[np.int32]
    """In how many training texts of each prompt a word occurs."""
    documents_P: npt.NDArray[np.int64]
    is_common_V: npt.NDArray[np.bool_]
    """The words that the largest number of texts hold: `the`, `and`."""
    pairs: Sieve
    """Pairs of tokens that several texts hold."""
    trigrams: Sieve
    """Three letters in a row that several texts hold."""
    alphabet: Hashes
    """Sorted code points that several texts hold."""
    least: int
    """In how many texts a word, pair or triple must occur to be known."""
    totals_V: npt.NDArray[np.int64] = field(init=False, repr=False, compare=False)
    """In how many training texts of any prompt a word occurs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "totals_V", self.counts_PV.sum(axis=0, dtype=np.int64))

    def places(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        """Return where each word stands, -1 where training did not hold it often enough."""
        return places(hashes, self.hashes_V)

    def are_common(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which places are of the commonest words; -1 is of none."""
        if not len(self.hashes_V):
            return np.zeros(len(places), np.bool_)
        return self.is_common_V[places] & (places >= 0)

    def topic(self, prompt: int, known_S: npt.NDArray[np.int64], unknown: int, own: int) -> tuple[float, float]:
        """Return how much a text's words are those of a prompt: against other prompts, and by themselves.

        Both are means over the distinct words of log rates of documents. The first is 0 where there are no others.

        Args:
            prompt: index.
            known_S: places of the text's distinct known words.
            unknown: how many distinct words are not known.
            own: 1 when the text is among those counted, and is taken out, so that the answer is as for a new one.
        """
        if not len(known_S) + unknown:
            return 0.0, float(np.log(0.5))
        counts_PS = self.counts_PV[:, known_S].astype(np.float64)
        counts_PS[prompt] -= own
        documents_P = self.documents_P.astype(np.float64)
        documents_P[prompt] -= own
        size = len(known_S) + unknown
        here = float(documents_P[prompt])
        alone = float(np.log((counts_PS[prompt] + 0.5) / (here + 1.0)).sum() + unknown * np.log(0.5 / (here + 1.0)))
        if len(documents_P) == 1:
            return 0.0, alone / size
        mine_S = counts_PS[prompt]
        others_S = counts_PS.sum(axis=0) - mine_S
        elsewhere = float(documents_P.sum()) - here
        prior_S = PRIOR * (mine_S + others_S + 0.5) / (here + elsewhere + 1.0)
        ratio_S = (mine_S + prior_S) / (here + PRIOR) * (elsewhere + PRIOR) / (others_S + prior_S)
        return float(np.log(ratio_S).sum()) / size, alone / size

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return {
            "hashes": pack(self.hashes_V),
            "counts": pack(self.counts_PV),
            "documents": self.documents_P.tolist(),
            "common": np.flatnonzero(self.is_common_V).tolist(),
            "pairs": pack(self.pairs.bits),
            "trigrams": pack(self.trigrams.bits),
            "alphabet": "".join(map(chr, self.alphabet.tolist())),
            "least": self.least,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value."""
        hashes = unpack(value["hashes"])
        common = np.zeros(len(hashes), np.bool_)
        common[value["common"]] = True
        return cls(
            hashes,
            unpack(value["counts"]),
            np.array(value["documents"], np.int64),
            common,
            Sieve(unpack(value["pairs"])),
            Sieve(unpack(value["trigrams"])),
            np.array([ord(letter) for letter in value["alphabet"]], np.uint64),
            int(value["least"]),
        )


def _slots(hashes: Hashes, size: int) -> npt.NDArray[np.int64]:
    shift = np.uint64(64 - (size.bit_length() - 1))
    return ((hashes ^ (hashes >> np.uint64(31))) * _SPREAD >> shift).astype(np.int64)
