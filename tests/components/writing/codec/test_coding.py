"""The codec: what a request becomes, and what an answer says."""

import ast
import json
import random
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.app import Codec as CodecProtocol
from components.app import answer_requests
from components.writing import codec as package
from components.writing.codec import FAMILIES, MAX_CHARACTERS, SENTENCES, UNKNOWN, Answer, Codec, Request, Rubric
from components.writing.codec.checks import reason_to_abstain
from components.writing.codec.text import tokens
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.fit import PromptTexts, fit_codec
from serving.errors import BadRequestError
from serving.requests import readers
from tests.components.writing import made_up

GENUINE = made_up.response("plants", 3, random.Random(99))
WORDS = sorted(set(re.findall(r"\w+", GENUINE.lower())), key=lambda word: (len(word), word[::-1]))
"""Common ones among them, in an order in which nobody writes them."""


def outputs(inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return what a model might: more n-grams, a better score."""
    raw = inputs["values"].sum(1).astype(np.float64) / 30
    effects = np.zeros((len(raw), len(FAMILIES)))
    effects[:, 0], effects[:, 1] = 0.7, -0.4
    return {
        "raw": raw,
        "low": raw - 9.0,
        "high": raw + 0.25,
        "effects": effects,
        "grams": inputs["values"].astype(np.float64),
    }


def answer(request: Request, codec: Codec | None = None) -> Answer:
    (found,) = answer_requests(codec or made_up.codec(), outputs, [request])
    assert isinstance(found, Answer)
    return found


def test_it_needs_the_standard_library_and_numpy_only() -> None:
    assert package.__file__ is not None
    for path in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names) | {"numpy"}, path.name
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path.name


def test_it_is_a_codec() -> None:
    assert isinstance(made_up.codec(), CodecProtocol)


def test_grams_by_hand() -> None:
    texts = ["the cat", "the cat", "a dog"]
    config = WritingPreprocessConfig(min_character_gram_count=2, inputs="both")
    codec = fit_codec([PromptTexts(name="p", rubric=Rubric(low=0, high=1), responses=texts)], config)
    # kept: the, cat, the+cat; of ' the cat ' seven runs of three and six of four, each once in two texts of three
    assert codec.gram_range(0) == (1, 4, 4 + 7 + 6)
    assert codec.gram_count == 17
    reading = codec.read("cat the the", 0)
    row = codec.row(reading, 0)
    words = row.ids_L < 4
    # tf-idf with sublinear counts: cat 1, the 1 + ln 2; both idf ln(4/3) + 1, which length 1 takes out
    size = np.hypot(1.0, 1.0 + np.log(2.0))
    assert sorted(row.values_L[words].tolist()) == pytest.approx(sorted([1 / size, (1 + np.log(2)) / size]))
    assert np.square(row.values_L[~words]).sum() == pytest.approx(1.0)
    assert len(set(row.ids_L.tolist())) == len(row.ids_L)
    # word numbers: `a` and `dog` were in one text only
    places = codec.lexicon.places(reading.hashes_T)
    assert row.tokens_T.tolist() == (places + 2).tolist()
    assert codec.row(codec.read("a dog", 0), 0).tokens_T.tolist() == [UNKNOWN, UNKNOWN]


def test_rows_of_a_batch_are_padded_with_zeros() -> None:
    codec = made_up.codec()
    rows = [codec.encode(Request(prompt="plants", text=text))[0] for text in ("the sun", GENUINE)]
    found = codec.batch(rows)
    assert {name: array.dtype.name for name, array in found.items()} == {
        "ids": "int64", "values": "float32", "tokens": "int64", "features": "float32", "prompt": "int64",
    }  # fmt: skip
    assert found["ids"].shape == found["values"].shape == (2, len(rows[1].ids_L))
    assert not found["ids"][0, len(rows[0].ids_L) :].any()
    assert found["tokens"].shape == (2, 50)  # what the codec was told to read
    assert codec.batch([replace(rows[0], ids_L=rows[0].ids_L[:0], values_L=rows[0].values_L[:0])])["ids"].shape == (
        1,
        1,
    )


def test_a_text_is_encoded_alike_alone_twice_and_after_json() -> None:
    codec = made_up.codec()
    again = Codec.from_json(json.loads(json.dumps(codec.to_json())))
    request = Request(prompt="bridge", text=made_up.response("bridge", 4, random.Random(5)), explain=True)
    for other in (codec, again):
        for one, two in zip(codec.encode(request), other.encode(request), strict=True):
            assert one.ids_L.tobytes() == two.ids_L.tobytes()
            assert one.values_L.tobytes() == two.values_L.tobytes()
            assert one.features_F.tobytes() == two.features_F.tobytes()
            assert one.tokens_T.tobytes() == two.tokens_T.tobytes()
            assert (one.prompt, one.abstained, one.left_out) == (two.prompt, two.abstained, two.left_out)
    assert again.to_json() == codec.to_json()


def test_a_batch_answers_as_single_requests_do() -> None:
    codec = made_up.codec()
    requests = codec.golden_requests(20, seed=3)
    together = answer_requests(codec, outputs, requests)
    assert together == [answer(request) for request in requests]


@pytest.mark.parametrize("changed", [{"version": 3}, {"codec": "other"}, {"features": ["log_words"]}])
def test_a_foreign_vocabulary_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        Codec.from_json(made_up.codec().to_json() | changed)


def test_no_training_text_is_in_the_json() -> None:
    plain = json.dumps(made_up.codec().to_json()).lower()
    assert not any(f'"{word}"' in plain or f" {word} " in plain for word in made_up.TOPICS["plants"][1:])


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=300))
def test_encoding_never_fails(text: str) -> None:
    codec = made_up.codec()
    rows = codec.encode(Request(prompt="plants", text=text, explain=True))
    for array in codec.batch(rows).values():
        assert np.isfinite(array).all()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("\U0001f600\U0001f680", "empty"),
        ("\x00\x00", "empty"),
        ("?!", "too_short"),
        ("light", "too_short"),
        (made_up.TASK * 3, "copied_prompt"),
        ("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd " * 40, "not_the_language"),
        ("xq zvw kkj pqrr wzx vvb jkq xzz qwv bbn pqz vxk zzj qqk wvx jjz kqx", "gibberish"),
        (made_up.response("bridge", 3, random.Random(4)), "off_prompt"),
        (GENUINE, None),
    ],
)
def test_what_is_refused(text: str, code: str | None) -> None:
    found = answer(Request(prompt="plants", text=text))
    assert found.abstained == code
    if code is not None:
        assert found == Answer(traits={}, abstained=code, reason=SENTENCES[code])


@pytest.mark.parametrize("between", [" ", ", "])
def test_a_list_of_common_words_shows_as_a_run_of_pairs_that_nobody_writes(between: str) -> None:
    codec = made_up.codec()
    limits = codec.prompts[codec.index_of("plants")].limits
    genuine, stuffed = (
        codec.signals_of(text, codec.index_of("plants")) for text in (GENUINE, f"{GENUINE} {between.join(WORDS)}.")
    )
    assert genuine.order > limits.order
    assert stuffed.order < limits.order
    assert stuffed.known == genuine.known
    only_that = replace(genuine, order=stuffed.order)  # in a long text the shares of all its pairs tell little
    assert reason_to_abstain(codec.read(GENUINE, 0), only_that, limits) == "outside_training"


@pytest.mark.parametrize("text", ["a" * 100_000, "a b. " * 20_000, "<" * 100_000, "'" * 100_000, "\n" * 100_000])
def test_a_hundred_thousand_characters_are_read(text: str) -> None:
    assert len(made_up.codec().encode(Request(prompt="plants", text=text, explain=True))) >= 1


def test_what_makes_no_sense_is_refused_without_the_text() -> None:
    codec = made_up.codec()
    with pytest.raises(ValueError, match="It grades: bridge, plants"):
        codec.encode(Request(prompt="secret name", text="x"))
    with pytest.raises(ValueError, match=f"at most {MAX_CHARACTERS}") as caught:
        codec.encode(Request(prompt="plants", text="secret" * 50_000))
    assert "secret" not in str(caught.value)


def test_an_answer_by_hand() -> None:
    codec = made_up.codec()
    rows = codec.encode(Request(prompt="plants", text=GENUINE))
    told = codec.decode(
        Request(prompt="plants", text=GENUINE),
        rows,
        [{"raw": np.array(2.5), "low": np.array(-1.0), "high": np.array(3.25)}],
    )
    assert told == Answer(score=3.0, raw=2.5, interval=(0.0, 3.25), traits={})


def test_traits_are_given_where_a_prompt_has_them() -> None:
    codec = made_up.codec()
    scored = replace(codec.prompts[1], traits={"content": Rubric(low=1, high=3)})
    other = replace(codec.prompts[0], traits={"style": Rubric(low=0, high=9)})
    codec = replace(codec, prompts=(other, scored))
    assert codec.traits == ("content", "style")
    rows = codec.encode(Request(prompt="plants", text=GENUINE))
    output = {"raw": np.array(2.5), "traits": np.array([3.4, 5.0])}
    assert codec.decode(Request(prompt="plants", text=GENUINE), rows, [output]).traits == {"content": 3.0}
    output = {"raw": np.array(2.5), "traits": np.array([np.nan, 5.0])}
    assert codec.decode(Request(prompt="plants", text=GENUINE), rows, [output]).traits == {}


def test_leaving_out_a_passage_is_a_row_of_its_own() -> None:
    codec = made_up.codec()
    whole, *rest = codec.encode(Request(prompt="plants", text=GENUINE, explain=True))
    assert whole.left_out is None
    for row in rest:
        assert row.left_out is not None
        start, end = row.left_out
        (alone,) = codec.encode(Request(prompt="plants", text=GENUINE[:start] + " " + GENUINE[end:]))
        assert alone.values_L.tobytes() == row.values_L.tobytes()
        assert alone.features_F.tobytes() == row.features_F.tobytes()


def test_feedback_says_what_the_outputs_say() -> None:
    request = Request(prompt="plants", text=GENUINE, explain=True)
    found = answer(request).feedback
    kinds = Counter(one.kind for one in found)
    assert kinds["passage"] == 3
    assert [(one.name, one.effect) for one in found if one.kind == "feature"] == [
        ("length", 0.7),
        ("word length", -0.4),
    ]
    up = next(one for one in found if one.kind == "feature")
    assert up.sentence.startswith(("The response is longer", "The response is shorter"))
    assert up.sentence.endswith(", which raises the score by 0.7 points.")
    words = next(one for one in found if one.kind == "words")
    assert words.effect > 0
    assert set(words.name.split(", ")) <= {token.lower() for token in tokens(GENUINE)}
    assert not set(words.name.split(", ")) & {"the", "i", "and", "is"}  # every text has them
    strongest = [one for one in found if one.kind == "passage"]
    assert [abs(one.effect) for one in strongest] == sorted((abs(one.effect) for one in strongest), reverse=True)
    for one in strongest:
        assert one.start is not None
        without = answer(Request(prompt="plants", text=GENUINE[: one.start] + " " + GENUINE[one.end :]))
        whole = answer(Request(prompt="plants", text=GENUINE))
        assert whole.raw is not None
        assert without.raw is not None
        assert whole.raw - without.raw == pytest.approx(one.effect, abs=1e-5)
    assert answer(replace(request, explain=False)).feedback == ()


def test_a_teacher_edits_the_sentences() -> None:
    codec = replace(made_up.codec(), sentences={"empty": "Please write something.", "words_up": "Good: {words}!"})
    codec = Codec.from_json(json.loads(json.dumps(codec.to_json())))
    assert answer(Request(prompt="plants", text=""), codec).reason == "Please write something."
    told = [f.sentence for f in answer(Request(prompt="plants", text=GENUINE, explain=True), codec).feedback]
    assert any(sentence.startswith("Good: ") for sentence in told)
    with pytest.raises(ValueError, match="No sentence is called 'emty'"):
        replace(codec, sentences={"emty": "x"})
    with pytest.raises(ValueError, match="braces"):
        replace(codec, sentences={"empty": "{name}"})


def test_every_family_and_reason_has_its_sentences() -> None:
    reasons = ("empty", "too_short", "copied_prompt", "not_the_language", "gibberish", "off_prompt", "outside_training")
    sides = [f"feature_{family}_{side}" for family in FAMILIES for side in ("above", "below")]
    assert {*reasons, *sides} <= set(SENTENCES)


def test_golden_requests_are_made_up_and_cover_refusals() -> None:
    codec = made_up.codec()
    requests = codec.golden_requests(30, seed=1)
    assert len(requests) == 30
    assert requests == codec.golden_requests(30, seed=1)
    assert requests != codec.golden_requests(30, seed=2)
    assert {"empty", "gibberish", "not_the_language"} <= {answer(request).abstained for request in requests}
    assert len(codec.golden_requests(3, seed=1)) == 3


def test_the_service_reads_and_writes_its_messages_strictly() -> None:
    requests, answers = readers(package)
    request = Request(prompt="plants", text=GENUINE, explain=True)
    assert requests.read_plain({"prompt": "plants", "text": GENUINE, "explain": True}) == request
    for wrong in ({"prompt": "plants"}, {"prompt": 1, "text": "x"}, {"prompt": "a", "text": "x", "explain": 1}):
        with pytest.raises(BadRequestError):
            requests.read_plain(wrong)
    with pytest.raises(BadRequestError):
        requests.read_plain({"prompt": "plants", "text": "x", "secret": 1})
    for one in (answer(request), answer(Request(prompt="plants", text=""))):
        assert answers.read(answers.write(one)) == one
