"""Artifact handles: JSON round trips of every kind, and what identity is made of."""

import json
import subprocess
import sys
import types
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import artifacts as module
from components.artifacts import (
    Artifact,
    Evaluation,
    FairnessReport,
    Lineage,
    RawFiles,
    Ref,
    StudentLogs,
    artifact_from_json,
    canonical_json,
    digest_of,
)

TEXT = st.text(max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBER | TEXT,
    lambda inner: st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
REFS = st.builds(
    Ref, uri=TEXT, sha256=st.text("0123456789abcdef", min_size=64, max_size=64), bytes=st.integers(0), media_type=TEXT
)
LINEAGES = st.builds(
    Lineage,
    parents=st.lists(TEXT, max_size=3).map(tuple),
    stage=TEXT,
    code=TEXT,
    config=st.dictionaries(TEXT, PLAIN, max_size=3),
    packages=st.dictionaries(TEXT, TEXT, max_size=3),
    started_utc=TEXT,
)
KINDS = [kind for name, kind in sorted(Artifact.kinds.items()) if kind.__module__ == module.__name__]


def values_of(hint: Any) -> st.SearchStrategy[Any]:  # Any: a type hint and values of it
    """Return a strategy for one of the few types that artifact fields may have."""
    origin, arguments = get_origin(hint), get_args(hint)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: st.integers(),
        float: NUMBER,
        bool: st.booleans(),
        type(None): st.none(),
    }
    if hint in simple:
        return simple[hint]
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(values_of(a) for a in arguments))
    if origin is Mapping:
        return st.dictionaries(TEXT, values_of(arguments[1]), max_size=3)
    if origin is types.UnionType:
        return st.one_of(*(values_of(a) for a in arguments))
    raise AssertionError(f"a field of type {hint} has no strategy here")


def handles_of(kind: type[Artifact]) -> st.SearchStrategy[Artifact]:
    """Return a strategy for handles of one kind with every field filled."""
    hints = get_type_hints(kind)
    own = {f.name: values_of(hints[f.name]) for f in fields(kind) if f.name not in {"ref", "lineage"}}
    return st.builds(kind, ref=REFS, lineage=LINEAGES, **own)


def test_every_kind_of_the_pipeline_is_known() -> None:
    assert {k.__name__ for k in KINDS} >= {
        "RawFiles",
        "StudentLogs",
        "SequenceDataset",
        "Checkpoint",
        "Evaluation",
        "FairnessReport",
        "OnnxModel",
        "Release",
    }


@given(st.sampled_from(KINDS).flatmap(handles_of))
def test_every_kind_comes_back_from_json_text_as_it_was(handle: Artifact) -> None:
    back = artifact_from_json(json.loads(json.dumps(handle.to_json())))
    assert back == handle
    assert type(back) is type(handle)
    assert back.to_json() == handle.to_json()


@given(st.dictionaries(TEXT, PLAIN, max_size=5), st.randoms())
def test_digests_do_not_depend_on_the_order_of_keys(value: dict[str, Any], order: Any) -> None:
    keys = list(value)
    order.shuffle(keys)
    assert digest_of({k: value[k] for k in keys}) == digest_of(value)
    assert json.loads(canonical_json(value)) == value


def test_a_digest_is_the_sha256_of_the_canonical_text() -> None:
    # printf '{"a":[1,2.5,null],"b":"\303\251"}' | sha256sum
    assert canonical_json({"b": "é", "a": [1, 2.5, None]}) == '{"a":[1,2.5,null],"b":"é"}'.encode()
    assert digest_of({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"loss": float("nan")})


REF = Ref(uri="somewhere", sha256="0" * 64, bytes=1, media_type="x")


def example() -> dict[str, Any]:
    handle = FairnessReport(ref=REF, lineage=Lineage(), verdict="pass", reasons=("a",))
    value: dict[str, Any] = json.loads(json.dumps(handle.to_json()))
    return value


def test_a_newer_format_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"format 99; this homeroom reads formats up to 1. Upgrade homeroom"):
        artifact_from_json({**example(), "format": 99})


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown artifact kind 'Homework'.*'Checkpoint'"):
        artifact_from_json({**example(), "kind": "Homework"})


def test_a_missing_field_is_named_and_an_added_one_is_passed_over() -> None:
    value = example()
    assert artifact_from_json({**value, "facts": {**value["facts"], "later": 1}}) == artifact_from_json(value)
    del value["facts"]["reasons"]  # has a default
    assert artifact_from_json(value) == FairnessReport(ref=REF, lineage=Lineage(), verdict="pass")
    del value["facts"]["verdict"]
    with pytest.raises(ValueError, match=r"FairnessReport without \['verdict'\]"):
        artifact_from_json(value)


def test_nested_values_come_back_as_tuples() -> None:
    made = Evaluation(
        ref=REF,
        lineage=Lineage(),
        metrics={"auc": 0.7},
        intervals={"auc": (0.6, 0.8)},
        scored=3,
        students=2,
        protocol="problem",
    )
    back = artifact_from_json(json.loads(json.dumps(made.to_json())))
    assert isinstance(back, Evaluation)
    assert back.intervals == {"auc": (0.6, 0.8)}


def test_a_field_that_is_no_plain_value_is_refused_by_type_and_not_by_content() -> None:
    handle = FairnessReport(ref=REF, lineage=Lineage(), verdict="pass", reasons=(object(),))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="field of type object; use str, int"):
        handle.to_json()


def test_handles_are_frozen() -> None:
    raw = RawFiles(ref=REF, lineage=Lineage(), uris=(), digests=(), roles=())
    with pytest.raises(AttributeError):
        raw.uris = ("other",)  # type: ignore[misc]
    assert StudentLogs.__slots__  # no stray attributes either


def test_importing_artifacts_loads_nothing_heavy() -> None:
    code = "import sys, components.artifacts; print(*sys.modules)"
    root = Path(module.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    heavy = {"torch", "polars", "numpy", "fsspec", "s3fs", "prefect", "pydantic", "sklearn", "bentoml"}
    assert heavy & set(done.stdout.split()) == set()
    assert "components.artifacts" in done.stdout.split()
