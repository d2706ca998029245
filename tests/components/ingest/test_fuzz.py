"""Thousands of hostile files: refused with a sentence of ours, or read without losing a row or showing a text."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.ingest.fuzzing.files import HostileFile, hostile_csv, hostile_json, hostile_parquet
from tests.components.ingest.fuzzing.properties import check_file

SOAK_FILES = 100_000
SEED = 7


def ingest_all(make: Callable[[int], HostileFile], first: int, count: int, folder: Path) -> Counter[str]:
    """Check the files of `count` seeds; a failure names the seed, from which the file can be made again."""
    outcomes: Counter[str] = Counter()
    for seed in range(first, first + count):
        file = make(seed)
        try:
            outcomes[check_file(file, folder)] += 1
        except BaseException as error:  # also the panics of polars, which are no Exception
            error.add_note(f"{make.__name__}({seed}), spoiled by {', '.join(file.spoiled) or 'nothing'}")
            raise
    print(f"{make.__name__}: seeds {first} to {first + count - 1}: {dict(outcomes)}")
    return outcomes


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.soak) for part in range(1, 5))])
def test_no_csv_file_breaks_ingest(part: int, tmp_path: Path) -> None:
    outcomes = ingest_all(hostile_csv, SEED * 1_000_000 + part * 1000, 500 if part == 0 else 1000, tmp_path)
    # Files that are all refused, or all read, would show little.
    assert outcomes["read"] > 125
    assert outcomes["SchemaError"] > 125
    assert outcomes["QuarantineLimitError"] > 12


@pytest.mark.slow
@pytest.mark.parametrize(("make", "least"), [(hostile_json, 75), (hostile_parquet, 37)])
def test_no_json_or_parquet_file_breaks_ingest(make: Callable[[int], HostileFile], least: int, tmp_path: Path) -> None:
    outcomes = ingest_all(make, SEED * 1_000_000, 150, tmp_path)
    assert outcomes["read"] > least
    assert outcomes["SchemaError"] > 9


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_no_file_of_a_hundred_thousand_breaks_ingest(tmp_path: Path) -> None:
    count = int(os.environ.get("HOMEROOM_SOAK_FILES", SOAK_FILES))
    first = int(os.environ.get("HOMEROOM_SOAK_SEED", 100_000_000))
    ingest_all(hostile_csv, first, count, tmp_path)
    ingest_all(hostile_json, first, count // 20, tmp_path)
    ingest_all(hostile_parquet, first, count // 20, tmp_path)
