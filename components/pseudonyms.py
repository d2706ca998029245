"""Pseudonyms of students and responses: keyed digests, the same for the same key and id, without a way back."""

from collections.abc import Iterable

from components.secrets import SecretKey

PSEUDONYM_LENGTH = 32
"""Hex digits of a pseudonym: 128 bits, so that two students among a billion meet with odds below 1 in 10^20."""


def pseudonyms(key: SecretKey, ids: Iterable[str], kind: str = "student") -> list[str]:
    """Return the pseudonym of each id: HMAC-SHA-256 of the kind, a zero byte and the id, first 128 bits, in hex.

    Args:
        key: of the pseudonyms.
        ids: as the source has them.
        kind: what they are ids of, so that response 7 and student 7 have nothing in common.
    """
    start = kind.encode() + b"\0"
    return [key.mac(start + one.encode())[: PSEUDONYM_LENGTH // 2].hex() for one in ids]
