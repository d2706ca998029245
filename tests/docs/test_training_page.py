"""docs/how-to/training.md: its examples run as they stand."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "training.md"
NAMES: dict[str, Any] = {"__name__": "page"}  # Any: whatever a page defines
for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
    exec(compile(block, str(PAGE), "exec"), NAMES)
EXAMPLES = {name: value for name, value in NAMES.items() if name.startswith("test_")}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example: Callable[[Path], None] = EXAMPLES[name]
    example(tmp_path)
    assert list(tmp_path.iterdir()) == []  # the page's trainers say that they write nothing


def test_there_is_an_example_in_every_part_with_code() -> None:
    parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)
    assert [part.splitlines()[0] for part in parts if "```python" in part and "def test_" not in part] == []
