"""Hashing and counting against plain Python."""

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.writing.codec.hashing import (
    counted,
    fourgram_hashes,
    letters,
    pair_hashes,
    places,
    token_hashes,
    trigram_keys,
    window_hashes,
)

WORDS = st.lists(
    st.sampled_from(["a", "b", "ab", "ba", "aa", "don't", "\u00e9t\u00e9", "\u6f22\u5b57", "."]), max_size=40
)


@settings(deadline=None)
@given(WORDS)
def test_tokens_have_the_same_hash_when_they_are_the_same(words: list[str]) -> None:
    hashes = token_hashes(letters(words)).tolist()
    assert len(hashes) == len(words)
    pairs = set(zip(words, hashes, strict=True))
    assert len(pairs) == len(set(words)) == len(set(hashes))


@settings(deadline=None)
@given(WORDS)
def test_pairs_and_windows_tell_orders_apart(words: list[str]) -> None:
    hashes = token_hashes(letters(words))
    pairs = list(pairwise(words))
    assert len(set(pair_hashes(hashes).tolist())) == len(set(pairs))
    windows = [tuple(words[i : i + 8]) for i in range(len(words) - 7)]
    found = window_hashes(hashes)
    assert len(found) == len(windows)
    assert len(set(found.tolist())) == len(set(windows))


@settings(deadline=None)
@given(WORDS)
def test_runs_of_characters_are_counted(words: list[str]) -> None:
    text = f" {' '.join(words)} " if words else ""
    points = letters(words).points_C
    three = trigram_keys(points)
    for size, found in ((3, three), (4, fourgram_hashes(points, three))):
        expected = Counter(text[i : i + size] for i in range(len(text) - size + 1))
        assert sorted(counted(found)[1].tolist()) == sorted(expected.values())


def test_capitals_do_not_matter() -> None:
    assert token_hashes(letters(["The", "END"])).tolist() == token_hashes(letters(["the", "end"])).tolist()


def test_places_in_a_vocabulary() -> None:
    vocabulary = np.array([3, 5, 9], np.uint64)
    assert places(np.array([5, 4, 9, 3, 10], np.uint64), vocabulary).tolist() == [1, -1, 2, 0, -1]
    assert places(np.array([5], np.uint64), vocabulary[:0]).tolist() == [-1]
