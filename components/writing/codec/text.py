"""A text as its writer left it -> a text of plain characters -> tokens; and where its sentences lie."""

import html
import re
import unicodedata

MAX_TOKEN_LETTERS = 40
"""A longer run of letters is cut into several tokens."""
PUNCTUATION = '.,!?;:"()-'
"""Marks that are tokens of their own; others only part words."""

# `don't` is one token; what a publisher's tagger left (`@CAPS1`) too.
_TOKEN = re.compile(rf"[\w@]{{1,{MAX_TOKEN_LETTERS}}}(?:'[\w@]{{1,{MAX_TOKEN_LETTERS}}}){{0,3}}|[.,!?;:\"()\-]")
_TAG = re.compile(r"<[a-zA-Z/!][^<>]{0,300}>")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Marks that show nothing: soft hyphen, zero widths, directions, byte order; and halves of a surrogate pair.
_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
    }
)
# UTF-8 that was once read as Windows-1252, as many exports hold it.
_TWICE_ENCODED = {
    "\u00e2\u20ac\u2122": "'",
    "\u00e2\u20ac\u02dc": "'",
    "\u00e2\u20ac\u0153": '"',
    "\u00e2\u20ac\u009d": '"',
    "\u00e2\u20ac\u201c": "-",
    "\u00e2\u20ac\u201d": "-",
    "\u00e2\u20ac\u00a6": "...",
}
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?]+[\"')\]]*|\n+|\Z)")


def normalise(text: str) -> str:
    """Return the text without mark-up and invisible characters, in NFC, with plain quotes and dashes.

    Never fails, whatever the text holds.
    """
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        if "\u00e2\u20ac" in text:
            for wrong, right in _TWICE_ENCODED.items():
                text = text.replace(wrong, right)
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).translate(_PLAIN)
    return _CONTROL.sub(" ", text)


def tokens(text: str) -> list[str]:
    """Return words and punctuation marks of a normalised text, in order, in their own case."""
    return _TOKEN.findall(text)


def passages(text: str, most: int) -> list[tuple[int, int]]:
    """Return where the sentences of a text as written begin and end; neighbours are joined where there are too many.

    Args:
        text: not normalised, so that the places are those of the client's own text.
        most: at most so many.
    """
    found = [(m.start(), m.end()) for m in _SENTENCE.finditer(text) if any(c.isalnum() for c in m.group())]
    if len(found) <= most:
        return found
    share = -(-len(found) // most)
    return [(found[i][0], found[min(i + share, len(found)) - 1][1]) for i in range(0, len(found), share)]
