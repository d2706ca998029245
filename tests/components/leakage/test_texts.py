"""Texts shared by splits: planted ones are found exactly, and near ones are those that plain sets give."""

import itertools
import random

import numpy as np
import polars as pl
import pytest

from components.leakage import near
from components.leakage.near import near_pairs
from components.leakage.texts import SharedTexts, shared_texts
from components.leakage.words import runs_of, words_of
from components.writing.leakage.config import WritingLeakageConfig

TRAIN, VALID, TEST = 0, 1, 2
SENTENCE = (
    "the water of the river moves stones down the hill and over the years the stones become round because they hit "
    "each other again and again until nothing of their sharp edges is left to be seen by anybody"
)
ESSAY = SENTENCE.split()


def found(rows: list[tuple[str, int, int]], **changes: float) -> SharedTexts:
    """Compare (text, prompt, split) rows of two prompts."""
    texts, prompts, splits = zip(*rows, strict=True)
    config = WritingLeakageConfig(**changes)  # type: ignore[arg-type]  # numbers of the fields' own types
    return shared_texts(texts, np.array(prompts), np.array(splits), 2, config)


def replaced(places: int) -> str:
    """Return the essay with some of its words replaced, one in seven so that no run has two of them."""
    words = list(ESSAY)
    for place in range(places):
        words[7 * place + 3] = f"other{place}"
    return " ".join(words)


def test_equal_words_are_the_same_text_whatever_their_case_marks_and_spaces() -> None:
    cats = [("The cat, it sat.", 0, TRAIN), ("the  CAT it\nsat", 0, TEST), ("the cat sat", 0, TEST)]
    marks = [("???", 0, VALID), ("???", 0, TRAIN), ("!", 0, TEST)]
    its = found([*cats, *marks, ("Caf\u00e9 \ufb01ve", 0, VALID), ("CAFE\u0301 five", 0, TEST)])
    assert its.same_pairs.tolist() == [[1, 1, 1], [0, 0, 0]]  # ??? of train and valid; the cat; the caf\u00e9
    assert its.same.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert its.near.sum() == its.near_pairs.sum() == 0
    assert its.share == 3 / 6


def test_characters_that_nobody_sees_make_no_other_text() -> None:
    hidden = SENTENCE.replace("water", "wa\u00adter").replace("stones", "sto\u200bnes")  # as copied from a page
    its = found([(SENTENCE, 0, TRAIN), (hidden, 0, TEST)])
    assert its.same.tolist() == [[0, 0, 1], [0, 0, 0]]


def test_pairs_count_between_splits_only_and_within_a_prompt_only() -> None:
    same = [("one two", 0, TRAIN)] * 3 + [("one two", 0, VALID)] * 2 + [("one two", 0, TEST)] * 5
    its = found([*same, ("one two", 1, TEST)])
    assert its.same_pairs.tolist() == [[6, 15, 10], [0, 0, 0]]
    assert its.same.tolist() == [[0, 2, 5], [0, 0, 0]]
    assert its.responses.tolist() == [[3, 2, 5], [0, 0, 1]]
    assert its.share == pytest.approx(7 / 8)


@pytest.mark.parametrize(("places", "is_near"), [(1, True), (2, False)])
def test_near_is_decided_by_jaccard_of_runs_of_three_words(places: int, is_near: bool) -> None:
    # 39 words have 37 runs, all different; each replaced word changes 3 of them: (37 - 3p) / (37 + 3p)
    runs = len({tuple(ESSAY[n : n + 3]) for n in range(len(ESSAY) - 2)})
    assert (len(ESSAY), runs) == (39, 37)
    similarity = (runs - 3 * places) / (runs + 3 * places)
    assert (similarity >= 0.8) == is_near
    rows = [(SENTENCE, 0, TRAIN), (replaced(places), 0, TEST)]
    assert found(rows).near_pairs.tolist() == [[0, int(is_near), 0], [0, 0, 0]]
    assert found(rows, near_similarity=similarity).near.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert found(rows, near_similarity=similarity + 1e-6).near.sum() == 0


def test_a_held_out_text_that_is_the_same_as_one_and_near_another_counts_once() -> None:
    its = found([(SENTENCE, 0, TRAIN), (replaced(1), 0, TRAIN), (replaced(1), 0, TEST), (replaced(1), 0, VALID)])
    assert its.near_pairs[0].tolist() == [1, 1, 0]
    assert its.same_pairs[0].tolist() == [1, 1, 1]
    assert its.same[0].tolist() == [0, 1, 1]
    assert its.near.sum() == 0


def test_short_texts_are_never_nearly_the_same() -> None:
    rows = [("a b c d e f g h i j k", 0, TRAIN), ("a b c d e f g h i j x", 0, TEST)]
    assert found(rows, near_similarity=0.5).near.sum() == 0
    assert found(rows, near_similarity=0.5, min_near_words=11).near.sum() == 1


def test_scripts_without_spaces_are_compared_by_character() -> None:
    (words,) = words_of(pl.Series(["\u65e5\u672c\u8a9e abc \u0e01\u0e02 don't"])).to_list()
    assert words == ["\u65e5", "\u672c", "\u8a9e", "abc", "\u0e01", "\u0e02", "don", "t"]


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_no_near_pair_is_missed_and_none_is_false(similarity: float, length: int) -> None:
    source = random.Random(length * 100 + int(similarity * 10))
    pool = [[source.choice("abcdefghij") for _ in range(source.randint(3, 30))] for _ in range(30)]
    texts, blocks, sides = [], [], []
    for _ in range(150):
        words = list(source.choice(pool))
        for _ in range(source.randint(0, 4)):
            words[source.randrange(len(words))] = source.choice("abcdefghij")
        texts.append(" ".join(words))
        blocks.append(source.randint(0, 1))
        sides.append(source.choice([1, 2, 4, 3]))
    sets = [{tuple(w[i : i + length]) for i in range(len(w) - length + 1)} for w in map(str.split, texts)]
    expected = {
        (a, b)
        for a, b in itertools.combinations(range(len(texts)), 2)
        if blocks[a] == blocks[b]
        and (sides[a] | sides[b]) not in {1, 2, 4}
        and len(sets[a] & sets[b]) >= similarity * len(sets[a] | sets[b]) - 1e-9
    }
    runs = runs_of(words_of(pl.Series(texts)), length, length)
    pairs = near_pairs(runs, np.array(blocks), np.array(sides), similarity)
    assert set(zip(pairs.first_P.tolist(), pairs.second_P.tolist(), strict=True)) == expected
    assert len(pairs.first_P) == len(expected) > 0
    assert pairs.complete


def test_too_many_alike_are_said_to_be_counted_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"{SENTENCE} number{n}", 0, TRAIN if n % 2 else TEST) for n in range(60)]
    whole = found(rows)
    assert whole.complete
    assert whole.near_pairs[0].tolist() == [0, 900, 0]
    monkeypatch.setattr(near, "MOST_PROPOSED", 100)
    part = found(rows)
    assert not part.complete
    assert part.near_pairs.sum() <= 100
    monkeypatch.undo()
    monkeypatch.setattr(near, "MOST_COMPARED", 10)
    monkeypatch.setattr(near, "_AT_ONCE", 200)
    part = found(rows)
    assert not part.complete
    assert 10 < part.near_pairs.sum() < 900


def test_no_texts_and_no_pairs_are_no_error() -> None:
    its = shared_texts([], np.zeros(0, np.int64), np.zeros(0, np.int64), 1, WritingLeakageConfig())
    assert (its.share, its.held_out, its.complete) == (0.0, 0, True)
    assert found([("alone", 0, TRAIN)]).share == 0.0
