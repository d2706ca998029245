"""Blocks of a text file: whole lines, large enough to be worked on at once, small enough for memory."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from components.errors import SchemaError

BLOCK_BYTES = 16 << 20
LONGEST_LINE_BYTES = 256 << 20
NO_UTF8 = b"\xff"
_CONTROLS = re.compile("[\x80-\x9f]")
"""What the bytes 0x80 to 0x9f are in Latin-1: controls that no text has. In cp1252 most are marks."""


def blocks(stream: BinaryIO, name: str, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the bytes of `stream` in pieces of about `size` that end with a line feed, as the last one then does too.

    Raises:
        SchemaError: a line of more than 256 MiB.
    """
    carry: list[bytes] = []
    while piece := stream.read(size):
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield b"".join((*carry, piece[:cut]))
            carry = [piece[cut:]]
        else:
            carry.append(piece)
            if sum(map(len, carry)) > LONGEST_LINE_BYTES:
                raise SchemaError(
                    f"{name} holds a line of more than {LONGEST_LINE_BYTES >> 20} MiB; expected lines that end with a "
                    "line feed. Check the file's line ends and save it again."
                )
    last = b"".join(carry)
    if last:
        yield last + b"\n"


def repaired(block: bytes, fallback: str) -> bytes:
    """Return the block with each line that is not UTF-8 read as `fallback` instead."""
    return b"\n".join(
        line if _is_utf8(line) else line.decode(fallback, errors="replace").encode() for line in block.split(b"\n")
    )


def recoded(block: bytes, encoding: str) -> bytes:
    """Return the lines of a block, recoded to UTF-8 from an encoding of one byte per character.

    A line that cannot be in `encoding` is made no UTF-8 either, so that it shows: one with bytes that the encoding does
    not have, and one that is UTF-8 already. Hardly any text is both, and read as the other it would be garbled.
    """
    return b"\n".join(_recoded(line, encoding) for line in block.split(b"\n"))


def _recoded(line: bytes, encoding: str) -> bytes:
    if line.isascii():
        return line
    if _is_utf8(line):
        first = next(place for place, octet in enumerate(line) if octet >= 0x80)
        return line[:first] + NO_UTF8 + line[first:]  # inside a cell, whatever its quotes
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError:
        return line
    return line if _CONTROLS.search(text) else text.encode()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_utf8(body: bytes) -> bool:
    """Return whether `body` is UTF-8; quick where it is ASCII."""
    return body.isascii() or _is_utf8(body)


def lines_not_utf8(block: bytes) -> int:
    """Return how many lines of a block are not UTF-8."""
    return sum(not _is_utf8(line) for line in block.split(b"\n"))
