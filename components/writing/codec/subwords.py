"""Text -> numbers of subwords, as the tokenizer of a pre-trained encoder numbers them; from its `tokenizer.json`.

The two kinds that encoders come with: WordPiece (BERT) and BPE on bytes (RoBERTa, GPT-2). Special tokens are never read
out of a text: what a student writes as "[MASK]" stays text. Everything else equals the library `tokenizers`, but for
characters that only the newer of its and Python's Unicode tables know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .bytepairs import BytePairs
from .wordpieces import WordPieces


class Pieces(Protocol):
    """Splits a text into the numbers of its subwords."""

    def ids(self, text: str) -> list[int]:
        """Return the numbers, without special tokens."""

    def to_json(self) -> dict[str, Any]:
        """Return what it is made of, as `tokenizer.json` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subwords:
    """A tokenizer: pieces, and the special tokens around them."""

    pieces: Pieces
    before: tuple[int, ...]
    """Numbers of the special tokens in front of a text, e.g. of [CLS]."""
    after: tuple[int, ...]
    size: int
    """Numbers are below this."""

    def ids(self, text: str, most: int) -> list[int]:
        """Return the numbers of a text with its special tokens, at most `most`: a longer text is cut at its end."""
        room = max(0, most - len(self.before) - len(self.after))
        return [*self.before, *self.pieces.ids(text)[:room], *self.after]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            **self.pieces.to_json(),
            "before": list(self.before),
            "after": list(self.after),
            "size": self.size,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Subwords":
        """Rebuild from `to_json`'s value."""
        return cls(
            pieces=_pieces(value),
            before=tuple(value["before"]),
            after=tuple(value["after"]),
            size=int(value["size"]),
        )

    @classmethod
    def of_tokenizer(cls, value: Mapping[str, Any]) -> "Subwords":
        """Make the tokenizer that a `tokenizer.json` describes.

        Raises:
            ValueError: it is of a kind, or has a setting, that is not read here; the message says which.
        """
        pieces = _pieces(value)
        before, after = _around(value.get("post_processor"))
        others = [token for token in value.get("added_tokens") or () if not token.get("special")]
        if others:
            raise ValueError(
                f"The tokenizer adds {len(others)} tokens that are not special to its vocabulary; expected none. Use a "
                "tokenizer whose words are all in its model."
            )
        numbers = [*value["model"]["vocab"].values(), *(token["id"] for token in value.get("added_tokens") or ())]
        return cls(pieces=pieces, before=before, after=after, size=max(numbers) + 1)


def _pieces(value: Mapping[str, Any]) -> Pieces:
    kind = (value.get("model") or {}).get("type")
    if kind == "WordPiece":
        return WordPieces.from_json(value)
    if kind == "BPE":
        return BytePairs.from_json(value)
    raise ValueError(
        f"The tokenizer is of the kind {kind!r}; expected WordPiece (as BERT has it) or BPE on bytes (as RoBERTa and "
        "GPT-2 have it). Use an encoder with one of these."
    )


def _around(processor: Mapping[str, Any] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers of the special tokens before and after a single text."""
    kind = processor["type"] if processor else None
    if processor is None or kind == "ByteLevel":
        return (), ()
    if kind in {"BertProcessing", "RobertaProcessing"}:
        return (int(processor["cls"][1]),), (int(processor["sep"][1]),)
    if kind == "Sequence":
        parts = [_around(one) for one in processor["processors"]]
        before = tuple(number for one, _ in reversed(parts) for number in one)
        return before, tuple(number for _, one in parts for number in one)
    if kind != "TemplateProcessing":
        raise ValueError(
            f"The tokenizer's post_processor is {kind!r}; expected TemplateProcessing, BertProcessing, "
            "RobertaProcessing, ByteLevel or none. Use an encoder with one of these."
        )
    first: list[int] = []
    second: list[int] = []
    now = first
    for part in processor["single"]:
        if "Sequence" in part:
            now = second
        else:
            now += map(int, processor["special_tokens"][part["SpecialToken"]["id"]]["ids"])
    return tuple(first), tuple(second)
