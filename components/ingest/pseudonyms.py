"""Pseudonyms of students: keyed digests, the same for the same key and id, without a way back."""

from collections.abc import Iterable

from components.secrets import SecretKey

PSEUDONYM_LENGTH = 32
"""Hex digits of a pseudonym: 128 bits, so that two students among a billion meet with odds below 1 in 10^20."""


def pseudonyms(key: SecretKey, students: Iterable[str]) -> list[str]:
    """Return the pseudonym of each id: HMAC-SHA-256 of `student`, a zero byte and the id, first 128 bits, in hex."""
    return [key.mac(b"student\0" + student.encode())[: PSEUDONYM_LENGTH // 2].hex() for student in students]
