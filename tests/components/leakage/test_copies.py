"""Copied sequences: those planted are found, those that say nothing are left out."""

import math

import numpy as np
import polars as pl
import pytest

from components.leakage.config import LeakageConfig
from components.leakage.copies import Copies, find_copies, information_bits
from components.leakage.sequences import check_copies

STEPS = 80


def students(count: int, seed: int = 0) -> list[list[tuple[str, int, int]]]:
    """Return (item, right, time) histories that all differ."""
    source = np.random.default_rng(seed)
    return [
        [(f"i{i}", int(r), int(t)) for i, r, t in zip(source.integers(0, 50, STEPS), source.random(STEPS) < 0.7,
                                                      np.sort(source.integers(0, 10**9, STEPS)), strict=True)]
        for _ in range(count)
    ]  # fmt: skip


def found(histories: list[list[tuple[str, int, int]]], bits: float = 40.0) -> Copies:
    flat = [row for history in histories for row in history]
    rows = pl.DataFrame(
        {"item": [i for i, _, _ in flat], "correct": [r for _, r, _ in flat], "score": [None] * len(flat)},
        schema={"item": pl.String, "correct": pl.Int8, "score": pl.Float32},
    ).with_columns(right=pl.col("correct") == 1)
    times = pl.Series([t for _, _, t in flat], dtype=pl.Int64)
    return find_copies(rows, times, np.array([len(history) for history in histories]), bits)


def test_planted_copies_are_found_and_nothing_else() -> None:
    its = students(40)
    its[9] = list(its[3])
    its[30] = [(item, right, time + 5) for item, right, time in its[3]]
    its[20] = list(its[11])
    its[21] = [*its[11][:-1], ("other", *its[11][-1][1:])]  # all but the last problem
    its[22] = [*its[11][:-1], (its[11][-1][0], 1 - its[11][-1][1], 0)]  # all but the last answer
    copies = found(its)
    assert dict(zip(copies.student_C.tolist(), copies.class_C.tolist(), strict=True)) == {
        3: 3, 9: 3, 30: 3, 11: 11, 20: 11
    }  # fmt: skip
    assert copies.student_C[copies.same_times_C].tolist() == [9, 20]


def test_sequences_that_say_too_little_are_left_out() -> None:
    right = [("i1", 1, n) for n in range(STEPS)]
    short = [("i1", n % 2, n) for n in range(6)]
    assert len(found([right, right, short, short]).student_C) == 0
    # of six answers three right: 20 ways
    assert found([right, right, short, short], bits=math.log2(20) - 1e-9).student_C.tolist() == [2, 3]


def test_bits_are_those_of_binomial_coefficients() -> None:
    for n, k in ((6, 3), (80, 24), (1_000, 10)):
        assert information_bits(n, k) == pytest.approx(math.log2(math.comb(n, k)))
    assert information_bits(7, 0) == information_bits(0, 0) == 0.0


def test_equal_hashes_of_different_sequences_are_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.leakage.copies._sequence_hashes", lambda rows, starts, lengths: np.zeros(
        len(starts), np.uint64))  # fmt: skip
    its = students(5)
    its[4] = list(its[1])
    its[3] = list(its[2])
    copies = found(its)
    assert sorted(zip(copies.student_C.tolist(), copies.class_C.tolist(), strict=True)) == [
        (1, 1), (2, 2), (3, 2), (4, 1)
    ]  # fmt: skip


def test_copies_count_where_an_earlier_split_has_the_sequence() -> None:
    copies = Copies(
        student_C=np.array([0, 5, 6, 1, 2, 7, 8]),
        class_C=np.array([0, 0, 0, 1, 1, 7, 7]),
        same_times_C=np.array([False, True, False, False, True, False, True]),
    )
    # train: 0 to 3; valid: 4, 5; test: 6 to 9. 1 & 2 are both of training, 7 & 8 both of test
    side = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2], np.int8)
    check = check_copies(copies, side, LeakageConfig())
    assert check.figures == {
        "students": 7,
        "pairs": 5,
        "with_same_times": 3,
        "crossing": {"train & valid": 1, "train & test": 1, "valid & test": 1},
        "held_out": 6,
        "copied": 2,
        "min_bits": 40.0,
    }
    (finding,) = check.findings
    assert (finding.value, finding.outcome) == (2 / 6, "warn")
    assert check_copies(copies, side, LeakageConfig(max_copied_share=0.34)).findings[0].outcome == "pass"
    assert check_copies(copies, side, LeakageConfig(copies="stop")).findings[0].outcome == "stop"
    by_time = check_copies(copies, np.full(10, -1, np.int8), LeakageConfig(copies="stop"))
    assert by_time.findings[0].outcome == "pass"
    assert by_time.figures["pairs"] == 5


def test_no_copies_at_all_pass() -> None:
    nothing = np.zeros(0, np.int64)
    none = Copies(student_C=nothing, class_C=nothing, same_times_C=nothing.astype(np.bool_))
    check = check_copies(none, np.array([0, 1, 2], np.int8), LeakageConfig())
    assert (check.findings[0].outcome, check.findings[0].value) == ("pass", 0.0)
