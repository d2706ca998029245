"""WordPiece (BERT): a text is cleaned, cut at spaces and punctuation, and each word into the longest known pieces."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

WHITE_SPACE = frozenset("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | frozenset(
    map(chr, range(0x2000, 0x200B))
)
"""Characters with Unicode's property White_Space; `str.isspace` has some more."""
CUT = "\n"
"""White space, which no word holds."""
_CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPieces:
    """The model and the settings of a WordPiece tokenizer."""

    numbers: Mapping[str, int]
    unknown: int
    prefix: str
    """Of a piece that does not begin a word."""
    longest: int
    """A word of more characters is unknown."""
    is_cleaned: bool
    is_chinese_parted: bool
    is_stripped: bool
    """Accents are taken off."""
    is_lower: bool

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "WordPieces":
        """Read the parts of a `tokenizer.json`.

        Raises:
            ValueError: its normalizer or pre_tokenizer is not BERT's.
        """
        model, normalizer = value["model"], value.get("normalizer") or {}
        splitter = (value.get("pre_tokenizer") or {}).get("type")
        if normalizer.get("type") != "BertNormalizer" or splitter != "BertPreTokenizer":
            raise ValueError(
                f"The WordPiece tokenizer has the normalizer {normalizer.get('type')!r} and the pre_tokenizer "
                f"{splitter!r}; expected BertNormalizer and BertPreTokenizer. Use an encoder with BERT's own."
            )
        stripped = normalizer["strip_accents"]
        return cls(
            numbers=model["vocab"],
            unknown=int(model["vocab"][model["unk_token"]]),
            prefix=model["continuing_subword_prefix"],
            longest=int(model["max_input_chars_per_word"]),
            is_cleaned=normalizer["clean_text"],
            is_chinese_parted=normalizer["handle_chinese_chars"],
            is_stripped=normalizer["lowercase"] if stripped is None else stripped,
            is_lower=normalizer["lowercase"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the parts of a `tokenizer.json` that `from_json` reads."""
        unknown = next(piece for piece, number in self.numbers.items() if number == self.unknown)
        return {
            "model": {
                "type": "WordPiece",
                "vocab": dict(self.numbers),
                "unk_token": unknown,
                "continuing_subword_prefix": self.prefix,
                "max_input_chars_per_word": self.longest,
            },
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": self.is_cleaned,
                "handle_chinese_chars": self.is_chinese_parted,
                "strip_accents": self.is_stripped,
                "lowercase": self.is_lower,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
        }

    def ids(self, text: str) -> list[int]:
        """Return the numbers of the pieces."""
        found: list[int] = []
        for word in _words(self._normalised(text)):
            found += self._pieces(word)
        return found

    def _normalised(self, text: str) -> str:
        if self.is_cleaned:
            text = "".join(map(_cleaned, text))
        if self.is_chinese_parted and not text.isascii():
            text = "".join(f" {c} " if _is_chinese(c) else c for c in text)
        if self.is_stripped and not text.isascii():
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        # One by one: `str.lower` of a whole text turns a Greek sigma at the end of a word into another letter.
        return (text.lower() if text.isascii() else "".join(c.lower() for c in text)) if self.is_lower else text

    def _pieces(self, word: str) -> list[int]:
        if len(word) > self.longest:
            return [self.unknown]
        found, begin = [], 0
        while begin < len(word):
            prefix = self.prefix if begin else ""
            for end in range(len(word), begin, -1):
                number = self.numbers.get(prefix + word[begin:end])
                if number is not None:
                    found.append(number)
                    begin = end
                    break
            else:
                return [self.unknown]
        return found


def _words(text: str) -> list[str]:
    """Return runs of characters between spaces, with each punctuation mark on its own."""
    return [word for word in "".join(map(_parted, text)).split(CUT) if word]


@lru_cache(maxsize=1 << 12)
def _parted(character: str) -> str:
    """Return a character with cuts where words end at it."""
    if character in WHITE_SPACE:
        return CUT
    code = ord(character)
    is_mark = unicodedata.category(character)[0] == "P" if code > 127 else 32 < code < 127 and not character.isalnum()
    return f"{CUT}{character}{CUT}" if is_mark else character


@lru_cache(maxsize=1 << 12)
def _cleaned(character: str) -> str:
    if character in WHITE_SPACE:
        return " "
    if character in "\0\ufffd" or unicodedata.category(character) in {"Cc", "Cf", "Co", "Cs"}:
        return ""
    return character


def _is_chinese(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _CHINESE)
