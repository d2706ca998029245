"""Normalising, tokens and passages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.writing.codec.text import normalise, passages, tokens


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("\u201cYes\u201d \u2013 she\u2019s", '"Yes" - she\'s'),
        ("it\u00e2\u20ac\u2122s \u00e2\u20ac\u0153odd\u00e2\u20ac\u009d", 'it\'s "odd"'),
        ("<p class='a'>Tom &amp; Ann</p>", " Tom & Ann "),
        ("a\x00b\x07c", "a b c"),
        ("3 < 5 and 7 > 6", "3 < 5 and 7 > 6"),
        ("\u202etxet\u202c \u200bwide", "txet wide"),
        ("one\ntwo\tthree", "one\ntwo\tthree"),
    ],
)
def test_normalising_by_hand(written: str, plain: str) -> None:
    assert normalise(written) == plain


def test_tokens_by_hand() -> None:
    assert tokens("Don't stop, @CAPS1! (It's 5-6.)") == [
        "Don't", "stop", ",", "@CAPS1", "!", "(", "It's", "5", "-", "6", ".", ")",
    ]  # fmt: skip


def test_a_run_of_letters_without_end_is_cut() -> None:
    assert [len(token) for token in tokens("a" * 100)] == [40, 40, 20]


def test_passages_lie_where_the_sentences_are() -> None:
    text = 'First one. "Second!" Third\nFourth?? '
    assert [text[start:end] for start, end in passages(text, 10)] == [
        "First one.",
        ' "Second!"',
        " Third\n",
        "Fourth??",
    ]


def test_many_sentences_are_joined() -> None:
    text = "A b. " * 10
    found = passages(text, 4)
    assert [text[start:end].count(".") for start, end in found] == [3, 3, 3, 1]


@settings(deadline=None)
@given(st.text())
def test_normalising_never_fails_and_passages_stay_in_order(text: str) -> None:
    tokens(normalise(text))
    places = [place for passage in passages(text, 5) for place in passage]
    assert places == sorted(places)
    assert len(places) <= 10
