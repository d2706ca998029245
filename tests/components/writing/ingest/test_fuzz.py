"""Hostile files of scored writing: refused with a sentence of ours, or read without losing a row or showing a text."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.ingest.config import IngestConfig
from components.writing.ingest.config import WritingIngestConfig, WritingMapping
from tests.components.ingest.fuzzing.files import HostileFile
from tests.components.writing.ingest.fuzzing.files import (
    HostileWriting,
    hostile_csv,
    hostile_json,
    hostile_parquet,
    hostile_xml,
)
from tests.components.writing.ingest.fuzzing.properties import check_file

SEED = 11_000_000
KINDS = (hostile_csv, hostile_json, hostile_parquet, hostile_xml)


def ingest_all(make: Callable[[int], HostileWriting], first: int, count: int, folder: Path) -> Counter[str]:
    """Check the files of `count` seeds; a failure names the seed, from which the file can be made again."""
    outcomes: Counter[str] = Counter()
    for seed in range(first, first + count):
        hostile = make(seed)
        try:
            outcomes[check_file(hostile, folder)] += 1
        except BaseException as error:  # also the panics of polars, which are no Exception
            error.add_note(f"{make.__name__}({seed}), spoiled by {', '.join(hostile.file.spoiled) or 'nothing'}")
            raise
    return outcomes


@pytest.mark.parametrize("make", KINDS)
def test_some_hostile_files_do_not_break_ingest(make: Callable[[int], HostileWriting], tmp_path: Path) -> None:
    outcomes = ingest_all(make, SEED, 60, tmp_path)
    # Files that are all refused, or all read, would show little.
    assert outcomes["read"] > 10
    assert outcomes["SchemaError"] > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "count"), [(hostile_csv, 150), (hostile_json, 100), (hostile_parquet, 100), (hostile_xml, 100)]
)
def test_many_hostile_files_do_not_break_ingest(
    make: Callable[[int], HostileWriting], count: int, tmp_path: Path
) -> None:
    outcomes = ingest_all(make, 2 * SEED, count, tmp_path)
    assert outcomes["read"] > count // 6
    assert outcomes["SchemaError"] > count // 20


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=200),
    start=st.sampled_from([b"", b"text,prompt,score\n", b"<question id='a'>", b"PAR1", b"{"]),
)
def test_any_bytes_are_refused_or_read(body: bytes, start: bytes, tmp_path: Path) -> None:
    whole = start + body
    config = WritingIngestConfig(quarantine_limit=1.0)
    if start == b"{":
        config = WritingIngestConfig(quarantine_limit=1.0, mapping=WritingMapping(text="a", score="b"))
    file = HostileFile(
        seed=0, name="any.csv", body=whole, config=IngestConfig(), delimiter=",", has_header=True, is_table=False,
        spoiled=("flip_bytes",),
    )  # fmt: skip
    check_file(HostileWriting(file=file, config=config), tmp_path)
