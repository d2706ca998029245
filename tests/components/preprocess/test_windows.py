"""Cutting windows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.preprocess.windows import cut_windows


def test_by_hand() -> None:
    starts, lengths, sequence = cut_windows(np.array([5, 2, 4]), 2)
    # 0 1 | 2 3 | 4 || 5 6 || 7 8 | 9 10
    assert starts.tolist() == [0, 2, 4, 5, 7, 9]
    assert lengths.tolist() == [2, 2, 1, 2, 2, 2]
    assert sequence.tolist() == [0, 0, 0, 1, 2, 2]


def test_a_sequence_of_exactly_the_longest_is_one_window() -> None:
    starts, lengths, _ = cut_windows(np.array([200]), 200)
    assert (starts.tolist(), lengths.tolist()) == ([0], [200])


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 12))
def test_windows_cover_every_step_once_and_stay_within_a_sequence(sizes: list[int], longest: int) -> None:
    starts, lengths, sequence = cut_windows(np.array(sizes, np.int64), longest)
    covered = [step for s, n in zip(starts, lengths, strict=True) for step in range(s, s + n)]
    assert covered == list(range(sum(sizes)))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    for start, length, number in zip(starts, lengths, sequence, strict=True):
        assert 1 <= length <= longest
        assert set(owner[start : start + length]) == {number}
