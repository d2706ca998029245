"""A made-up grading application that answers from a table, on the real trainer, and a runner over a temporary store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from components.app import Application
from components.artifacts import Checkpoint, Lineage, TextDataset
from components.stage import PENDING, Runner
from components.store import Store
from tests.components.table_application import application_in
from tests.components.writing.evaluate.made_up import simulated, write_dataset

DATA = '''
"""Gives rows in batches that are not in the order of the arrays."""
import numpy as np
import torch
import trainer as tr
from torch.utils.data import DataLoader

class Data(tr.LightningDataModule):
    def __init__(self, folder, split):
        super().__init__()
        self.rows = len(np.load(folder / split / "score.npy"))

    @classmethod
    def for_prediction(cls, folder, split):
        return cls(folder, split)

    def predict_dataloader(self):
        return DataLoader(list(torch.arange(self.rows).flip(0).split(16)), batch_size=None)
'''
MODEL = '''
"""Answers each row from a table in the checkpoint."""
import torch
import trainer as tr

class Model(tr.LightningModule):
    def __init__(self, table):
        super().__init__()
        self.table = table

    @classmethod
    def load_from_checkpoint(cls, path):
        return cls(torch.load(path, weights_only=True))

    def predict_step(self, batch, batch_idx):
        return {"index": batch, **{name: values[batch] for name, values in self.table.items()}}
'''

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    """An application in a folder of its own, outside this repository."""
    with application_in(tmp_path / "apps", "fake_grading", data=DATA, model=MODEL) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def runner(store: Store, application: Application) -> Runner:
    return Runner(store, application)


@pytest.fixture
def dataset(tmp_path: Path, store: Store) -> TextDataset:
    """Six hundred responses to three prompts, half of them held out."""
    return write_dataset(store, tmp_path / "dataset", {"train": simulated(300, 1)[0], "test": simulated(300, 2)[0]})


@pytest.fixture
def checkpoint_of(tmp_path: Path, store: Store) -> MakeCheckpoint:
    """Return a function that publishes a checkpoint whose model answers with these arrays by name."""

    def make(**outputs: npt.NDArray[np.float64]) -> Checkpoint:
        folder = tmp_path / f"checkpoint{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        torch.save(
            {name: torch.from_numpy(np.asarray(values)) for name, values in outputs.items()}, folder / "model.ckpt"
        )
        draft = Checkpoint(
            ref=PENDING,
            lineage=Lineage(stage="train"),
            application="fake_grading",
            epochs=1,
            optimizer_steps=1,
            parameters=1,
            best_metric="valid_qwk",
            best_value=0.5,
        )
        return store.publish(draft, folder)

    return make
