"""The code of the porting guide runs, top to bottom, and what it says of names is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.docs.pages import Page
from trainer.arguments import ARGUMENTS, STRATEGIES

PAGE = Page.named("porting-from-lightning")


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = PAGE.run_all()
    assert names["fit"].global_step == 12
    assert names["total"].item() == pytest.approx(
        sum(p.sum().item() for p in names["fit"].predict(names["model"], names["loader"]))
    )


def test_every_refusal_is_named() -> None:
    refused = [argument.name for argument in (*ARGUMENTS, *STRATEGIES) if argument.fate == "refused"]
    patterns = re.findall(r"`([a-z_]+)\*?`", PAGE.text.partition("## What is refused")[2])
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
        "profiler",
    }
