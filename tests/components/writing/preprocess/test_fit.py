"""Counting over texts, and the limits that training texts set."""

from collections import Counter as Plain
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from components.writing.codec import Request, Rubric
from components.writing.codec.checks import NAMES, Signals
from components.writing.codec.lexicon import Sieve
from components.writing.preprocess import counts as counting
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.counts import Counter, kept
from components.writing.preprocess.fit import PromptTexts, _limits, fit_codec
from tests.components.writing import made_up


def test_counting_equals_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_MERGE_AT", 50)
    source = np.random.default_rng(0)
    texts = [np.unique(source.integers(0, 40, 12)).astype(np.uint64) for _ in range(60)]
    counter = Counter()
    for text in texts:
        counter.add(text)
    hashes, times = counter.counts()
    expected = Plain(value for text in texts for value in text.tolist())
    assert dict(zip(hashes.tolist(), times.tolist(), strict=True)) == expected
    assert hashes.tolist() == sorted(expected)


def test_the_commonest_are_kept() -> None:
    counts = (np.array([1, 2, 3, 4, 5], np.uint64), np.array([3, 1, 5, 3, 3], np.int32))
    assert kept(counts, 2, 3)[0].tolist() == [1, 3, 4]
    assert kept(counts, 3, 9)[1].tolist() == [3, 5, 3, 3]


def test_a_sieve_has_its_members_and_few_others() -> None:
    source = np.random.default_rng(1)
    members, others = (source.integers(0, 2**63, 20_000).astype(np.uint64) for _ in range(2))
    sieve = Sieve.of(members)
    assert sieve.has(members).all()
    assert sieve.has(others).mean() < 0.035


def signals(value: float) -> Signals:
    return Signals(*[value] * len(NAMES))


def test_limits_refuse_the_share_that_they_are_told() -> None:
    found = _limits([signals(value) for value in np.linspace(1.0, 2.0, 1_001)], 0.01)
    assert found.known == pytest.approx(1.01)
    assert found.topic == pytest.approx(1.025)  # two and a half times as many
    assert found.words == pytest.approx(1.01)
    # brevity is minus the words: the longest has 1 here, and half as long again is too long
    assert found.brevity == pytest.approx(1.5)


def test_limits_of_few_texts_leave_room() -> None:
    values = [1.0, 2.0, 3.0]
    assert _limits([signals(value) for value in values], 0.01).known == pytest.approx(2.0 - 3.0 * np.std(values))


def test_a_training_text_that_is_off_topic_does_not_set_the_limit() -> None:
    usual = [signals(value) for value in np.linspace(1.0, 2.0, 300)]
    found = _limits([*usual, replace(signals(1.5), topic=-9.0), replace(signals(1.5), topic=-8.0)], 0.0015)
    assert found.topic > -3.0


def test_responses_like_those_of_training_are_hardly_ever_refused() -> None:
    codec = made_up.codec()
    rows = made_up.table(200, seed=11)
    refused = [
        codec.encode(Request(prompt=prompt, text=text))[0].abstained is not None
        for prompt, text in zip(rows["prompt"], rows["text"], strict=True)
    ]
    assert np.mean(refused) <= 0.04  # limits come from 150 texts of each prompt here


def test_responses_to_the_other_prompt_are_refused() -> None:
    codec = made_up.codec()
    rows = made_up.table(100, seed=12).filter(pl.col("score") >= 1)
    other = {"plants": "bridge", "bridge": "plants"}
    refused = [
        codec.encode(Request(prompt=other[prompt], text=text))[0].abstained is not None
        for prompt, text in zip(rows["prompt"], rows["text"], strict=True)
    ]
    assert np.mean(refused) >= 0.9


def test_texts_that_share_nothing_still_make_a_codec() -> None:
    texts = ["red", "blue", "\U0001f600"]
    codec = fit_codec(
        [PromptTexts(name="p", rubric=Rubric(low=0, high=1), responses=texts)], WritingPreprocessConfig(inputs="both")
    )
    assert codec.gram_count == 1  # padding alone
    assert codec.word_count == 2
    (row,) = codec.encode(Request(prompt="p", text="green grass"))
    assert row.tokens_T.tolist() == [1, 1]
    assert len(row.ids_L) == 0
