"""docs/how-to/sharded-checkpoints.md: its examples run as they stand, in their order."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.seed import isolated_rng

NAME = "sharded-checkpoints.md"
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / NAME).read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with isolated_rng():
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_passes(number: int, tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}  # Any: whatever a page defines
    for block in BLOCKS[: number + 1]:
        before = set(names)
        exec(compile(block, NAME, "exec"), names)
    examples: list[Callable[[Path], None]] = [names[n] for n in names if n.startswith("test_") and n not in before]
    for example in examples:
        example(tmp_path)
    assert len(examples) == 1
