"""Splitting students into train, valid and test: by a hash of the pseudonym, so that nobody changes sides."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

TRAIN, VALID, TEST = 0, 1, 2
SPLITS = ("train", "valid", "test")


def split_of_students(
    students: Sequence[str], declared: Sequence[str | None], *, valid_share: float, test_share: float, seed: int
) -> npt.NDArray[np.int8]:
    """Return 0 (train), 1 (valid) or 2 (test) for each student.

    A student's side depends on the pseudonym and the seed alone: students who join later move nobody. Where any student
    is declared a `test` (or `valid`) student, the declared ones are that split and nobody else; of the others the
    shares that are left are taken in the proportions that they say.
    """
    place = np.fromiter(
        (int.from_bytes(hashlib.sha256(f"{seed}:{s}".encode()).digest()[:8], "big") / 2.0**64 for s in students),
        np.float64,
        len(students),
    )
    named = np.array([name or "" for name in declared], dtype=np.str_)
    is_test, is_valid = named == "test", named == "valid"
    tests, valids = test_share, valid_share
    if is_test.any():
        tests, valids = 0.0, valid_share / (1.0 - test_share)
    if is_valid.any():
        tests, valids = (0.0 if is_test.any() else test_share / (1.0 - valid_share)), 0.0
    out = np.full(len(students), TRAIN, np.int8)
    out[place < valids + tests] = VALID
    out[place < tests] = TEST
    out[is_valid] = VALID
    out[is_test] = TEST
    return out
