"""A sequence dataset on disk, a fake application that answers from a table, and a runner over a temporary store."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch

from components.app import Application
from components.artifacts import Checkpoint, Lineage, SequenceDataset
from components.stage import PENDING
from components.store import Store
from tests.components.table_application import application_in

FAKE_DATA = '''
"""Gives windows as (flat indices) batches."""
import numpy as np

class Data:
    def __init__(self, folder, split):
        self.folder, self.split = folder, split

    @classmethod
    def for_prediction(cls, folder, split):
        return cls(folder, split)

    def predict_dataloader(self):
        starts = np.load(self.folder / self.split / "starts.npy")
        lengths = np.load(self.folder / self.split / "lengths.npy")
        # longest first, as length bucketing would give them: not in the order of the flat arrays
        for w in np.argsort(-lengths, kind="stable"):
            yield np.arange(starts[w], starts[w] + lengths[w])
'''
FAKE_MODEL = '''
"""Answers each step from a table in the checkpoint."""
import torch

class Model:
    def __init__(self, table):
        self.table = table

    @classmethod
    def load_from_checkpoint(cls, path):
        return cls(torch.load(path, weights_only=True))

    def predict_step(self, batch, batch_idx):
        index = torch.from_numpy(batch)
        return {"index": index, "probability": self.table[index]}
'''


class FakeTrainer:
    """Stands in for the trainer: takes the same keywords and runs `predict_step` over the batches."""

    def __init__(self, **options: Any) -> None:  # Any: keywords of the real trainer
        assert options == {
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }

    def predict(self, model: Any, datamodule: Any) -> list[Any]:  # Any: the fake classes above
        return [model.predict_step(batch, i) for i, batch in enumerate(datamodule.predict_dataloader())]


@pytest.fixture
def fake_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.Trainer", FakeTrainer, raising=False)


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    """An application in a folder of its own, outside this repository."""
    with application_in(tmp_path / "apps", "fake_evaluated", data=FAKE_DATA, model=FAKE_MODEL) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def write_split(
    folder: Path,
    students: Sequence[int],
    sequences: Sequence[Sequence[tuple[Sequence[int], float]]],
    max_len_steps: int,
    items: Sequence[Sequence[int]] | None = None,
) -> None:
    """Write one split: for each student (row of students.parquet) its steps as (skills, response), and items if any."""
    skills: list[list[int]] = []
    responses: list[float] = []
    position: list[int] = []
    starts: list[int] = []
    lengths: list[int] = []
    owner: list[int] = []
    for student, steps in zip(students, sequences, strict=True):
        for at, (names, response) in enumerate(steps):
            if at % max_len_steps == 0:
                starts.append(len(responses))
                lengths.append(0)
                owner.append(student)
            lengths[-1] += 1
            skills.append(list(names))
            responses.append(response)
            position.append(at)
    folder.mkdir(parents=True)
    flat = [0] * len(responses) if items is None else [item for own in items for item in own]
    np.save(folder / "items.npy", np.asarray(flat, np.int32))
    np.save(folder / "skills.npy", np.asarray(skills, np.int32).reshape(len(responses), -1))
    np.save(folder / "responses.npy", np.asarray(responses, np.float32))
    np.save(folder / "position.npy", np.asarray(position, np.uint32))
    np.save(folder / "scored.npy", ~np.isin(np.arange(len(responses)), starts))
    np.save(folder / "starts.npy", np.asarray(starts, np.int64))
    np.save(folder / "lengths.npy", np.asarray(lengths, np.int32))
    np.save(folder / "window_student.npy", np.asarray(owner, np.int32))


@pytest.fixture
def split_writer() -> Callable[..., None]:
    return write_split


@pytest.fixture
def dataset(tmp_path: Path, store: Store) -> SequenceDataset:
    """Sixty simulated students, twenty held out; windows of at most ten steps; a third of the steps has two skills."""
    source = np.random.default_rng(7)
    folder = tmp_path / "dataset"
    for split, first in (("train", 0), ("valid", 30), ("test", 40)):
        students = range(first, first + {"train": 30, "valid": 10, "test": 20}[split])
        sequences = []
        for _ in students:
            ability = source.normal()
            chosen = [
                [int(source.integers(2, 7)), int(source.choice([0, 0, 8]))] for _ in range(source.integers(3, 35))
            ]
            right = [float(source.random() < 1 / (1 + np.exp(-(ability + (s - 4) / 2)))) for s, _ in chosen]
            sequences.append(list(zip(chosen, right, strict=True)))
        write_split(folder / split, students, sequences, 10)
    pl.DataFrame({"student": [f"{i:032x}" for i in range(60)]}).write_parquet(folder / "students.parquet")
    (folder / "codec.json").write_text(json.dumps({"codec": "fake"}))
    draft = SequenceDataset(
        ref=PENDING,
        lineage=Lineage(stage="preprocess"),
        application="fake_evaluated",
        steps={},
        windows={},
        students={},
        max_len_steps=10,
        arrays=("items", "skills", "responses", "position"),
        protocol="problem",
    )
    return store.publish(draft, folder)


@pytest.fixture
def checkpoint_of(tmp_path: Path, store: Store) -> Callable[[npt.NDArray[np.float32]], Checkpoint]:
    """Return a function that publishes a checkpoint whose model gives these probabilities to the flat steps."""

    def make(probability: npt.NDArray[np.float32]) -> Checkpoint:
        folder = tmp_path / f"checkpoint{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        torch.save(torch.from_numpy(probability), folder / "model.ckpt")
        draft = Checkpoint(
            ref=PENDING,
            lineage=Lineage(stage="train"),
            application="fake_evaluated",
            epochs=1,
            optimizer_steps=1,
            parameters=1,
            best_metric="valid_auc",
            best_value=0.5,
        )
        return store.publish(draft, folder)

    return make
