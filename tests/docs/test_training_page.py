"""docs/how-to/training.md: its examples run as they stand."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import Page

PAGE = Page.named("training")
PAGE.run_all()


@pytest.mark.parametrize("name", PAGE.examples())
def test_an_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    PAGE.examples()[name](tmp_path)
    assert list(tmp_path.iterdir()) == []  # the page's trainers say that they write nothing


def test_there_is_an_example_in_every_part_with_code() -> None:
    parts = re.split(r"^## ", PAGE.text, flags=re.M)
    assert [part.splitlines()[0] for part in parts if "```python" in part and "def test_" not in part] == []
