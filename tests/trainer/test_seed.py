"""Seeds and states of the random generators."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import trainer as L
from tests.trainer.models import Regression, make_trainer
from trainer.checkpoints.files import find_unplain
from trainer.errors import MisconfigurationException
from trainer.seed import capture_rng, isolated_rng, restore_rng, seed_everything, workers_are_seeded


def draw() -> tuple[float, float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(()).item(), random.gauss(0, 1)  # noqa: NPY002


def test_a_seed_repeats_all_generators(capsys: pytest.CaptureFixture[str]) -> None:
    assert L.seed_everything(12) == 12
    first = draw()
    seed_everything(12, verbose=False)
    assert draw() == first
    assert capsys.readouterr().out == "Seed set to 12\n"
    seed_everything(13, verbose=False)
    assert draw() != first


def test_the_seed_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "77")
    assert seed_everything(verbose=False) == 77


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(MisconfigurationException, match=f"Got {seed}; expected an integer from 0"):
        seed_everything(seed)


def test_captured_states_are_plain_and_come_back_exactly(tmp_path: Path) -> None:
    random.gauss(0, 1)  # leaves a second value waiting inside Python's generator
    np.random.randn()  # noqa: NPY002 - likewise in NumPy's
    state = capture_rng()
    assert find_unplain(state, "rng") is None
    torch.save(state, tmp_path / "rng")
    first = draw()
    restore_rng(torch.load(tmp_path / "rng", weights_only=True))
    assert draw() == first


def test_a_block_can_leave_no_trace() -> None:
    seed_everything(1, verbose=False)
    first = draw()
    seed_everything(1, verbose=False)
    with isolated_rng():
        draw()
    assert draw() == first


class Noise(Dataset[Any]):
    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([random.random(), float(np.random.rand())])  # noqa: NPY002

    def __len__(self) -> int:
        return 4


def test_workers_draw_their_own_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    seed_everything(5, workers=True, verbose=False)
    assert workers_are_seeded()
    seen: list[list[float]] = []

    class Watching(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            seen.extend(batch.tolist())

    for _ in range(2):
        seed_everything(5, workers=True, verbose=False)
        trainer = make_trainer(tmp_path, max_epochs=1)
        trainer.fit(Watching(), DataLoader(Noise(), batch_size=1, num_workers=2))
    assert seen[:4] == seen[4:]
    assert len({tuple(pair) for pair in seen[:4]}) == 4
    os.environ.pop("PL_SEED_WORKERS")
