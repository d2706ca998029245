"""docs/how-to/callbacks.md: its examples run as they stand, in their order."""

import logging
from pathlib import Path

import pytest

from tests.docs.pages import Page
from trainer import callbacks

PAGE = Page.named("callbacks")


@pytest.mark.parametrize("number", range(len(PAGE.blocks)))
def test_an_example_passes(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logging.getLogger("trainer").setLevel(logging.ERROR)
    monkeypatch.chdir(tmp_path)
    examples = Page.named("callbacks").examples_of(number)
    for example in examples.values():
        example(tmp_path)
    assert examples


def test_every_callback_is_on_the_page() -> None:
    bases = {"Callback", "Checkpoint", "ProgressBar", "EarlyStoppingReason"}
    missing = [name for name in callbacks.__all__ if f"`{name}" not in PAGE.text and name not in bases]
    assert missing == []
