"""Surface features, counted by hand."""

import math

import numpy as np
import pytest

from components.writing.codec.features import FAMILIES, FEATURES, NAMES, surface_features
from components.writing.codec.reading import read
from components.writing.codec.references import Reference, common_subsequence

TEXT = 'He said, "Go home; now!" and we went. the dog, Rex, slept? @CAPS1 slept'


def features(text: str, references: tuple[str, ...] = (), question: str = "") -> dict[str, float]:
    found = surface_features(
        read(text),
        tuple(Reference.of(one) for one in references),
        read(question).distinct_S,
    )
    return dict(zip(NAMES, found.tolist(), strict=True))


def test_features_by_hand() -> None:
    found = features(TEXT)
    # he said go home now | and we went | the dog rex slept | @caps1 slept: 14 words in 4 sentences
    words = ["he", "said", "go", "home", "now", "and", "we", "went", "the", "dog", "rex", "slept", "@caps1", "slept"]
    lengths = np.array([len(word) for word in words])
    sentences = np.array([5, 3, 4, 2])
    # one space between and around 14 words and 9 marks
    characters = int(lengths.sum()) + 9 + 24
    expected = {
        "log_words": math.log(15),
        "log_characters": math.log(characters + 1),
        "sqrt_words": math.sqrt(14),
        "words": 0.14,
        "mean_word_letters": lengths.mean(),
        "sd_word_letters": lengths.std(),
        "share_six_letters": 1 / 14,
        "share_eight_letters": 0.0,
        "log_distinct": math.log(14),
        "distinct_per_root": 13 / math.sqrt(28),
        "log_sentences": math.log(5),
        "mean_sentence_words": 3.5 / 20,
        "sd_sentence_words": sentences.std() / 20,
        "commas_per_word": 3 / 14,
        "log_commas": math.log(4),
        "quotes_per_word": 2 / 14,
        "log_marks": math.log(3),
        "log_colons": math.log(2),
        "log_names": math.log(2),
        "log_once": math.log(13),
        "log_seven_letters": 0.0,
        "share_capitals": 1 / 4,
        "reference_share": 0.0,
        "reference_cosine": 0.0,
        "reference_precision": 0.0,
        "reference_runs": 0.0,
        "reference_order": 0.0,
        "reference_beyond": 0.0,
        "question_share": 0.0,
    }
    assert found == pytest.approx(expected, rel=1e-6)


def test_likeness_to_the_best_reference() -> None:
    found = features("Plants need light and water", ("water and air", "light"))
    # 'light' is there whole; {water, and} of {water, and, air} against five words: 2 / sqrt(15)
    assert found["reference_share"] == pytest.approx(1.0)
    assert found["reference_cosine"] == pytest.approx(2 / math.sqrt(15))


def test_order_and_what_goes_beyond_the_question_by_hand() -> None:
    found = features("water gives plants light", ("plants need light and water",), "What do plants need?")
    # in order: plants light, 2 of 4 and 5 words; beyond the question: light, and, water, of which two occur
    assert found["reference_order"] == pytest.approx(2 * 2 / (4 + 5))
    assert found["reference_beyond"] == pytest.approx(2 / 3)
    assert found["reference_precision"] == pytest.approx(3 / 4)
    assert found["question_share"] == pytest.approx(1 / 4)
    # runs of ' light ' in ' light ': 5 of three and 4 of four characters; ' ligth ' shares ' li', 'lig' and ' lig'
    assert features("ligth", ("light",))["reference_runs"] == pytest.approx(3 / 9)


@pytest.mark.parametrize(
    ("left", "right", "length"),
    [([], [1], 0), ([1, 2, 3], [1, 2, 3], 3), ([1, 2, 3, 4], [4, 3, 2, 1], 1), ([1, 2, 1, 3], [2, 1, 1, 3, 9], 3)],
)
def test_longest_common_subsequence_by_hand(left: list[int], right: list[int], length: int) -> None:
    assert common_subsequence(left, right) == length


@pytest.mark.parametrize("text", ["", "!!!", "word", ". . .", "\U0001f600"])
def test_little_text_has_finite_features(text: str) -> None:
    assert np.isfinite(list(features(text).values())).all()


def test_every_feature_has_a_family_and_a_phrase() -> None:
    assert len(set(NAMES)) == len(FEATURES)
    assert {feature.family for feature in FEATURES} == set(FAMILIES)
    assert all(feature.phrase for feature in FEATURES)
