"""Short runs for the tests of edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

import trainer as L
from tests.trainer.models import make_trainer
from trainer.demos.boring_classes import RandomDataset


def short(tmp_path: Path, **options: Any) -> L.Trainer:
    return make_trainer(tmp_path, **({"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1} | options))


def loader(samples: int = 4) -> DataLoader[Tensor]:
    return DataLoader(RandomDataset(32, samples))
