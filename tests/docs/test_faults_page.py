"""docs/how-to/faults.md: its tests for a user's own application run as they stand, and its numbers are the code's."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.places.s3 import S3Limits
from flows.garbage import Retention

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "faults.md").read_text(encoding="utf-8")
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "def test_" in block]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_passes(number: int, tmp_path: Path) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    names: dict[str, Any] = {}  # Any: whatever a page defines
    exec(compile(BLOCKS[number], "docs/how-to/faults.md", "exec"), names)
    examples: list[Callable[[Path], None]] = [names[name] for name in names if name.startswith("test_")]
    for example in examples:
        example(tmp_path)
    assert examples


def test_there_are_two_examples() -> None:
    assert len(BLOCKS) == 2


def test_the_defaults_on_the_page_are_the_codes() -> None:
    limits = S3Limits()
    for name in ("connect_s", "read_s", "attempts", "total_s"):
        assert f"| `HOMEROOM_S3_{name.upper()}` | {getattr(limits, name):g} |" in PAGE
    kept = Retention()
    for option, value in (("keep-runs", kept.keep_runs), ("keep-days", kept.keep_days), ("grace-hours", 24)):
        assert f"`--{option}`, {value:g})" in PAGE or f"`--{option}` ({value:g})" in PAGE
    assert kept.grace_hours == 24
