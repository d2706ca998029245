"""Texts: what students wrote, in one spelling of the same characters, and what is odd about it, counted."""

import polars as pl

ODD = {
    "with_html": r"(?i)</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>|&(?:[a-z]{2,8}|#\d{1,6});",
    "with_mojibake": r"â€|ï»¿|[ÂÃ][\x{0080}-\x{00bf}]|Ã[\x{0152}-\x{0192}\x{02c6}-\x{02dc}\x{2013}-\x{2122}]",
    "with_lost_characters": r"\x{fffd}",
    "with_right_to_left": r"[\x{0590}-\x{08ff}\x{fb1d}-\x{fdff}\x{fe70}-\x{fefc}]",
    "with_direction_marks": r"[\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{2069}]",
    "with_emoji": r"[\x{1f1e6}-\x{1faff}\x{2600}-\x{27bf}]",
    "with_control_characters": r"[\x01-\x08\x0b-\x1f\x7f]",
}
"""What a text is counted under -> a pattern of it. Such texts are kept as they are: students write them."""


def as_written(column: pl.Series) -> pl.Series:
    """Return texts in NFC, with line feeds as line ends and without NUL; null for one of blanks alone.

    Nothing else is changed: a grader must see what the student wrote.
    """
    text = column if column.dtype == pl.String else column.cast(pl.String, strict=False)
    text = text.str.replace_all("\0", "", literal=True)
    text = text.str.replace_all("\r\n", "\n", literal=True).str.replace_all("\r", "\n", literal=True)
    text = text.str.normalize("NFC")
    return text.set((text.str.strip_chars() == "").fill_null(False), None)


def with_null_bytes(column: pl.Series) -> int:
    """Return how many cells hold a NUL."""
    if column.dtype != pl.String:
        return 0
    return int(column.str.contains("\0", literal=True).sum())


def odd_texts(text: pl.Series) -> dict[str, int]:
    """Return how many texts there are of each odd kind."""
    return {name: int(text.str.contains(pattern).sum()) for name, pattern in ODD.items()}


def repeated_texts(frame: pl.DataFrame) -> int:
    """Return how many rows hold the same `text` for the same `prompt` as an earlier one."""
    return frame.height - frame.select("prompt", "text").n_unique() if frame.height else 0
