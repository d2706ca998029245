"""A prompt as the codec knows it: rubric, n-grams with their counts, usual features, limits.

Shapes: W word n-grams, C character n-grams, F features, G n-grams of a text.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .checks import Signals
from .features import standardised, surface_features
from .hashing import Hashes, counted, fourgram_hashes, pair_hashes, places, trigram_keys
from .packing import pack, unpack
from .reading import Reading
from .references import Reference
from .rubric import Rubric


@dataclass(frozen=True, slots=True)
class Block:
    """The n-grams of one kind that training held in several texts, weighted by how rare they are."""

    hashes_V: Hashes
    """Sorted."""
    counts_V: npt.NDArray[np.int32]
    """In how many training texts each occurs."""
    documents: int
    rarity_V: npt.NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rarity = np.log((1.0 + self.documents) / (1.0 + self.counts_V)) + 1.0
        object.__setattr__(self, "rarity_V", rarity.astype(np.float32))

    def weighted(
        self, distinct_G: Hashes, times_G: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return places and tf-idf values (sublinear counts, length 1) of a text's known n-grams."""
        at = places(distinct_G, self.hashes_V)
        known = at >= 0
        at = at[known]
        values = (1.0 + np.log(times_G[known])).astype(np.float32) * self.rarity_V[at]
        norm = float(np.sqrt(np.dot(values, values)))
        return at, values / np.float32(norm) if norm > 0 else values


@dataclass(frozen=True, slots=True)
class Pool:
    """The n-grams of all prompts' training texts together, for a model that carries over to prompts with few or none.

    Its n-grams come beside those of the prompt, with ids of their own.
    """

    words: Block
    characters: Block

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {"documents": self.words.documents, **_packed(self.words, self.characters)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value."""
        return cls(*_unpacked(value))


def _packed(words: Block, characters: Block) -> dict[str, Any]:
    return {
        "words": [pack(words.hashes_V), pack(words.counts_V)],
        "characters": [pack(characters.hashes_V), pack(characters.counts_V)],
    }


def _unpacked(value: Mapping[str, Any]) -> tuple[Block, Block]:
    words, characters = (
        Block(unpack(value[name][0]), unpack(value[name][1]), int(value["documents"]))
        for name in ("words", "characters")
    )
    return words, characters


def word_grams(reading: Reading) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the distinct tokens and pairs of tokens, and how often each occurs."""
    return counted(np.concatenate([reading.hashes_T, pair_hashes(reading.hashes_T)]))


def character_grams(reading: Reading) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the distinct runs of three and four characters, and how often each occurs."""
    points = reading.letters.points_C
    three = trigram_keys(points)
    return counted(np.concatenate([three, fourgram_hashes(points, three)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTerms:
    """What the codec knows of one prompt."""

    name: str
    rubric: Rubric
    traits: Mapping[str, Rubric] = field(default_factory=dict)
    words: Block
    characters: Block
    """Both empty where the model takes no n-grams."""
    mean_F: npt.NDArray[np.float32]
    sd_F: npt.NDArray[np.float32]
    """1 where a feature does not vary."""
    limits: Signals
    passages: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Of the prompt's own text, where it is known."""
    references: tuple[Reference, ...] = ()
    """Answers that are known to be right."""
    question: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Sorted distinct words of the prompt's own text, where there are reference answers."""

    def features(self, reading: Reading) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return a text's features as they are, and in standard deviations from this prompt's mean, not clipped."""
        found = surface_features(reading, self.references, self.question)
        return found, (found - self.mean_F) / self.sd_F

    def standardised(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return features as models take them."""
        return standardised(features, self.mean_F, self.sd_F)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; no text of a student is among them."""
        return {
            "prompt": self.name,
            **asdict(self.rubric),
            "traits": {name: asdict(rubric) for name, rubric in self.traits.items()},
            "documents": self.words.documents,
            **_packed(self.words, self.characters),
            "mean": self.mean_F.tolist(),
            "sd": self.sd_F.tolist(),
            "limits": asdict(self.limits),
            "passages": pack(self.passages),
            "references": [reference.to_json() for reference in self.references],
            "question": pack(self.question),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value."""
        words, characters = _unpacked(value)
        return cls(
            name=value["prompt"],
            rubric=Rubric(low=value["low"], high=value["high"], step=value["step"]),
            traits={name: Rubric(**rubric) for name, rubric in value["traits"].items()},
            words=words,
            characters=characters,
            mean_F=np.array(value["mean"], np.float32),
            sd_F=np.array(value["sd"], np.float32),
            limits=Signals(**value["limits"]),
            passages=unpack(value["passages"]),
            references=tuple(Reference.from_json(reference) for reference in value["references"]),
            question=unpack(value["question"]),
        )
