"""docs/how-to/callbacks.md: its examples run as they stand, in their order."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer import callbacks

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "callbacks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_passes(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logging.getLogger("trainer").setLevel(logging.ERROR)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}  # Any: whatever a page defines
    for block in BLOCKS[: number + 1]:
        before = set(names)
        exec(compile(block, "docs/how-to/callbacks.md", "exec"), names)
    examples: list[Callable[[Path], None]] = [names[n] for n in names if n.startswith("test_") and n not in before]
    for example in examples:
        example(tmp_path)
    assert examples


def test_every_callback_is_on_the_page() -> None:
    bases = {"Callback", "Checkpoint", "ProgressBar", "EarlyStoppingReason"}
    missing = [name for name in callbacks.__all__ if f"`{name}" not in PAGE and name not in bases]
    assert missing == []
