"""Reading requests: strict, all problems at once, and never a word of what the client sent."""

import types
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from serving.bundle import Bundle
from serving.errors import BadRequestError, BundleError, ModelError
from serving.requests import Reader, readers


@dataclass(frozen=True)
class Inner:
    name: str
    marks: dict[str, float]


@dataclass(frozen=True)
class Outer:
    items: tuple[Inner, ...]
    count: int = 0


READER = Reader(Outer)


def problems_of(body: bytes, reader: Reader[Any] = READER) -> tuple[tuple[str, str], ...]:
    with pytest.raises(BadRequestError) as caught:
        reader.read(body)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return caught.value.problems


def test_a_whole_request_is_read_with_its_defaults() -> None:
    read = READER.read(b'{"items":[{"name":"a","marks":{"x":1,"y":2.5}}]}')
    assert read == Outer(items=(Inner("a", {"x": 1.0, "y": 2.5}),), count=0)


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        (b"{}", [("items", "Field required")]),
        (b'{"items":[{"name":1,"marks":{}}],"count":"3"}', [
            ("items[0].name", "Input should be a valid string"),
            ("count", "Input should be a valid integer"),
        ]),
        (b'{"items":[{"name":"a","marks":{},"Anna Smith":1}]}', [
            ("items[0]", "has a key that is not known; known are: name, marks"),
        ]),
        (b'{"items":[],"secret":1,"other":2}', [("", "has a key that is not known; known are: items, count")]),
        (b'{"items":[{"name":"a","marks":{"Anna":"x"}}]}', [("items[0].marks.*", "Input should be a valid number")]),
        (b'{"items":[{"name":"a","marks":{"x":NaN}}]}', [("items[0].marks.*", "Input should be a finite number")]),
        (b'{"items":[{"name":"a","marks":{"x":true}}]}', [("items[0].marks.*", "Input should be a valid number")]),
        (b'{"items":{}}', [("items", "Input should be a valid array")]),
        (b"[1]", [("", "Input should be an object")]),
    ],
)  # fmt: skip
def test_every_problem_is_told_with_path_and_rule(body: bytes, problems: list[tuple[str, str]]) -> None:
    assert problems_of(body) == tuple(problems)


@dataclass(frozen=True)
class Nested:
    one: Inner | None = None
    pair: tuple[Inner, Outer] | None = None
    by_name: dict[str, Inner] | None = None
    either: Inner | Outer | None = None


@pytest.mark.parametrize(
    ("body", "path", "keys"),
    [
        (b'{"one":{"name":"a","marks":{},"Anna":1}}', "one", "name, marks"),
        (b'{"pair":[{"name":"a","marks":{}},{"items":[],"Anna":1}]}', "pair[1]", "items, count"),
        (b'{"by_name":{"Anna":{"name":"a","marks":{},"Anna":1}}}', "by_name.*", "name, marks"),
    ],
)
def test_the_known_keys_are_those_of_the_object_that_has_the_unknown_one(body: bytes, path: str, keys: str) -> None:
    assert problems_of(body, Reader(Nested)) == ((path, f"has a key that is not known; known are: {keys}"),)


def test_where_two_kinds_are_possible_no_keys_are_guessed() -> None:
    rules = {rule for _, rule in problems_of(b'{"either":{"Anna":1}}', Reader(Nested))}
    assert "has a key that is not known" in rules
    assert not [rule for rule in rules if "known are" in rule]


def test_a_body_that_is_not_json_is_told_with_the_place() -> None:
    ((path, rule),) = problems_of(b'{"items": Anna}')
    assert path == ""
    assert rule.startswith("Invalid JSON")
    assert "Anna" not in rule


SECRET = "Zq7xSecret"
KEYS = st.sampled_from(["items", "name", "marks", "count", SECRET])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def complaint_about(body: bytes) -> BadRequestError | None:
    try:
        READER.read(body)
    except BadRequestError as complaint:
        return complaint
    return None


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_no_complaint_ever_holds_what_the_client_sent(value: object) -> None:
    complaint = complaint_about(to_json(value))
    if complaint is not None:
        assert SECRET not in f"{complaint}{complaint.problems}"
        assert complaint.problems


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    complaint = complaint_about(body)
    assert complaint is None or complaint.problems


def test_a_list_has_a_complaint_in_the_place_of_each_bad_item() -> None:
    good = '{"items":[]}'
    items = READER.read_many(f'[{good},{{"items":3}},{good},{{}}]'.encode(), 10)
    assert [type(i) for i in items] == [Outer, BadRequestError, Outer, BadRequestError]
    assert isinstance(items[1], BadRequestError)
    assert items[1].problems == (("items", "Input should be a valid array"),)
    assert READER.read_many(f"[{good}]".encode(), 1) == [Outer(items=())]


@pytest.mark.parametrize(
    "body", [b"[]", b'[{"items":[]},{"items":[]},{"items":[]}]', b"[1,2,3,4,5]", b"{}", b"3", b"["]
)
def test_a_list_of_a_wrong_length_or_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        READER.read_many(body, 2)


def test_a_request_survives_writing_and_reading(tracing: Bundle) -> None:
    for case in tracing.golden:
        assert tracing.requests.read_plain(tracing.requests.plain(case.request)) == case.request
        assert tracing.requests.read(tracing.requests.write(case.request)) == case.request


def test_an_answer_that_is_no_number_is_an_error_and_no_null() -> None:
    reader = Reader(Inner)
    with pytest.raises(ModelError, match="not finite"):
        reader.write(Inner("a", {"x": float("nan")}))


def test_a_codec_without_its_types_is_refused() -> None:
    module = types.ModuleType("codec")
    module.Request = 3  # type: ignore[attr-defined]  # made by hand
    with pytest.raises(BundleError, match="no dataclass Request"):
        readers(module)
    module.Request = Inner  # type: ignore[attr-defined]  # likewise
    module.Answer = _Odd  # type: ignore[attr-defined]  # likewise
    with pytest.raises(BundleError, match="Answer cannot be carried by JSON"):
        readers(module)


@dataclass
class _Odd:
    reader: types.ModuleType
