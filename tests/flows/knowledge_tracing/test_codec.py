"""The codec: what a request becomes, and what an answer says."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from components.app import answer_requests
from flows.knowledge_tracing import codec as module
from flows.knowledge_tracing.codec import Candidate, Codec, Request, Step

CODEC = Codec(items=("i1", "i2"), skills=("a", "b", "c"), max_skills=2, max_len_steps=4)


def test_it_imports_the_standard_library_and_numpy_only() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert names <= set(sys.stdlib_module_names) | {"numpy"}


def test_encoding_by_hand() -> None:
    request = Request(
        history=(Step(item="i2", skills=("b",), correct=1.0), Step(item="new", skills=("new", "a"), correct=0.0)),
        candidates=(Candidate(item="i1", skills=("c", "a")),),
    )
    (row,) = CODEC.encode(request)
    # indices: 0 padding, 1 unknown, then the vocabulary in order from 2
    assert row.items_T.tolist() == [3, 1, 2]
    assert row.skills_TK.tolist() == [[3, 0], [2, 0], [2, 4]]
    assert row.responses_T.tolist() == [1.0, 0.0, 0.0]
    assert row.flags == ()


def test_padding_is_at_the_right_and_zero() -> None:
    rows = CODEC.encode(Request(candidates=(Candidate(item="i1", skills=("a",)),)))
    rows += CODEC.encode(
        Request(history=(Step(correct=1.0, skills=("b",)),), candidates=(Candidate(item="i2", skills=("b",)),))
    )
    arrays = CODEC.batch(rows)
    assert arrays["items"].tolist() == [[2, 0], [0, 3]]
    assert arrays["skills"].tolist() == [[[2, 0], [0, 0]], [[3, 0], [3, 0]]]
    assert arrays["responses"].tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "items": "int64",
        "skills": "int64",
        "responses": "float32",
    }


@pytest.mark.parametrize(
    ("candidate", "flags"),
    [
        (Candidate(item="i1", skills=("a",)), ()),
        (Candidate(item="x", skills=("a",)), ("new_item",)),
        (Candidate(item="i1", skills=("x", "a")), ("new_skill",)),
        (Candidate(item="x", skills=("x",)), ("new_item", "new_skill", "no_known_part")),
        (Candidate(), ("no_known_part",)),
        (Candidate(item="i1"), ()),
    ],
)
def test_new_values_are_flagged_never_refused(candidate: Candidate, flags: tuple[str, ...]) -> None:
    (row,) = CODEC.encode(Request(candidates=(candidate,)))
    assert row.flags == flags


def test_only_the_latest_steps_are_used_and_said() -> None:
    history = tuple(Step(item="i1", skills=("a",), correct=float(n % 2)) for n in range(9))
    request = Request(history=history, candidates=(Candidate(item="i2", skills=("b",)),))
    (row,) = CODEC.encode(request)
    assert len(row.items_T) == CODEC.max_len_steps
    assert row.responses_T.tolist() == [0.0, 1.0, 0.0, 0.0]  # steps 6, 7, 8, then the candidate
    answer = CODEC.decode(request, [row], [{"probability": np.array([0.1, 0.2, 0.3, 0.4, 9.0])}])
    assert answer.steps_used == 3
    assert answer.flags == ("history_shortened",)
    assert answer.predictions[0].probability == pytest.approx(0.4)


def test_new_values_in_the_history_are_flagged_only_where_they_were_read() -> None:
    new, known = Step(item="x", skills=("a",), correct=1.0), Step(item="i1", skills=("a",), correct=1.0)
    candidates = (Candidate(item="i1", skills=("a",)),)
    outputs = [{"probability": np.full(4, 0.5)}]
    for history, flags in (((new,), ("new_in_history",)), ((new, known, known, known), ("history_shortened",))):
        request = Request(history=history, candidates=candidates)
        assert CODEC.decode(request, CODEC.encode(request), outputs).flags == flags


@pytest.mark.parametrize("correct", [-0.1, 1.1, float("nan")])
def test_an_impossible_answer_is_refused(correct: float) -> None:
    request = Request(history=(Step(correct=correct),), candidates=(Candidate(),))
    with pytest.raises(ValueError, match="expected 0 \\(wrong\\) to 1 \\(right\\)"):
        CODEC.encode(request)


def test_no_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="name at least one"):
        CODEC.encode(Request(candidates=()))


def test_the_vocabulary_comes_back_from_json() -> None:
    again = Codec.from_json(CODEC.to_json())
    assert again == CODEC
    assert again.item_indices(["i2", "x", None]).tolist() == [3, 1, 0]


def test_a_newer_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="up to version 2"):
        Codec.from_json({**CODEC.to_json(), "version": 3})


def test_without_items_an_item_is_no_news() -> None:
    plain = Codec(items=(), skills=("a",), max_skills=1, max_len_steps=4)
    (row,) = plain.encode(Request(candidates=(Candidate(item="anything", skills=("a",)),)))
    assert row.items_T.tolist() == [0]
    assert row.flags == ()


def test_golden_requests_are_synthetic_repeatable_and_cover_the_edges() -> None:
    golden = CODEC.golden_requests(12, seed=0)
    assert golden == CODEC.golden_requests(12, seed=0)
    assert len(golden) == 12
    lengths = [len(r.history) for r in golden]
    assert 0 in lengths
    assert max(lengths) > CODEC.max_len_steps
    flags = {f for r in golden for row in CODEC.encode(r) for f in row.flags}
    assert flags == {"new_item", "new_skill", "no_known_part"}


def test_answers_are_the_same_alone_and_in_a_batch() -> None:
    def model(inputs: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]) -> dict[str, object]:
        past = np.cumsum(inputs["responses"] + 0.1 * inputs["items"], axis=1)
        return {"probability": 1 / (1 + np.exp(-past + inputs["skills"].sum(-1)))}

    requests = CODEC.golden_requests(10, seed=3)
    together = answer_requests(CODEC, model, requests)  # type: ignore[arg-type]  # a plain function of arrays
    alone = [answer_requests(CODEC, model, [r])[0] for r in requests]  # type: ignore[arg-type]
    assert together == alone
