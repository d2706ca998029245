"""A made-up grading application that answers from a table, on the real trainer, and a runner over a temporary store."""

import importlib
import sys
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
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """An application in a folder of its own, outside this repository."""
    package = tmp_path / "apps" / "fake_grading"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "data.py").write_text(DATA)
    (package / "codec.py").write_text("")  # its digest is part of a stage's key
    (package / "model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(package.parent))
    importlib.invalidate_caches()
    yield Application(
        name="fake_grading",
        title="fake",
        package="fake_grading",
        config=object,
        data="fake_grading.data:Data",
        model="fake_grading.model:Model",
        train_config="fake_grading.data:used",
        scorer="fake_grading.data:used",
        encoder="fake_grading.data:used",
    )
    for name in [n for n in sys.modules if n.partition(".")[0] == "fake_grading"]:
        del sys.modules[name]


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
