"""The code of the porting guide runs, top to bottom, and what it says of names is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.arguments import ARGUMENTS, STRATEGIES

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "porting-from-lightning.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_its_code_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["fit"].global_step == 12
    assert names["total"].item() == pytest.approx(
        sum(p.sum().item() for p in names["fit"].predict(names["model"], names["loader"]))
    )


def test_every_refusal_is_named(text: str) -> None:
    refused = [argument.name for argument in (*ARGUMENTS, *STRATEGIES) if argument.fate == "refused"]
    patterns = re.findall(r"`([a-z_]+)\*?`", text.partition("## What is refused")[2])
    families = {"xla": ("single_xla", "tpu_spawn", "tpu_spawn_debug", "single_tpu"), "hpu_": ()}
    unnamed = [
        name
        for name in refused
        if not any(name.startswith(pattern) or name in families.get(pattern, ()) for pattern in patterns)
    ]
    # No longer in Lightning, or of a later version of this package.
    assert set(unnamed) <= {
        "ddp2",
        "ddp_sharded",
        "ddp_fully_sharded",
        "bagua",
        "colossalai",
        "model_parallel",
        "profiler",
    }
