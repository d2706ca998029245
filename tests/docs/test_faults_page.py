"""docs/how-to/faults.md: its tests for a user's own application run as they stand, and its numbers are the code's."""

import logging
from pathlib import Path

import pytest

from components.places.s3 import S3Limits
from flows.garbage import Retention
from tests.docs.pages import Page

PAGE = Page.named("faults")
BLOCKS = [block for block in PAGE.blocks if "def test_" in block]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_passes(number: int, tmp_path: Path) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    page = Page.named("faults")
    page.run(BLOCKS[number])
    examples = page.examples()
    for example in examples.values():
        example(tmp_path)
    assert examples


def test_there_are_two_examples() -> None:
    assert len(BLOCKS) == 2


def test_the_defaults_on_the_page_are_the_codes() -> None:
    limits = S3Limits()
    for name in ("connect_s", "read_s", "attempts", "total_s"):
        assert f"| `HOMEROOM_S3_{name.upper()}` | {getattr(limits, name):g} |" in PAGE.text
    kept = Retention()
    for option, value in (("keep-runs", kept.keep_runs), ("keep-days", kept.keep_days), ("grace-hours", 24)):
        assert f"`--{option}`, {value:g})" in PAGE.text or f"`--{option}` ({value:g})" in PAGE.text
    assert kept.grace_hours == 24
