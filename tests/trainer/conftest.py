"""Settings of the trainer's tests: one thread, so that runs are quick and repeatable on a shared machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trainer.seed import isolated_rng


@pytest.fixture(autouse=True)
def _quiet_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    with isolated_rng():
        torch.manual_seed(0)
        yield
