"""docs/how-to/checkpoints-and-resume.md: its examples run as they stand, in their order."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from tests.docs.pages import Page
from trainer.seed import isolated_rng

NAME = "checkpoints-and-resume"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # what `seed_everything` sets is undone with it
    monkeypatch.setenv("PL_SEED_WORKERS", "0")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with isolated_rng():
        yield
    torch.set_num_threads(threads)
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("number", range(len(Page.named(NAME).blocks)))
def test_an_example_passes(number: int, tmp_path: Path) -> None:
    [example] = Page.named(NAME).examples_of(number).values()
    example(tmp_path)
