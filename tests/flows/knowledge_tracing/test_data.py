"""The data of training and prediction: which split each loader reads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flows.knowledge_tracing.config import KnowledgeTracingTrainConfig
from flows.knowledge_tracing.data import KnowledgeTracingData


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, split in enumerate(("train", "valid", "test")):
        part = tmp_path / split
        part.mkdir()
        np.save(part / "items.npy", np.full(5, place, np.int32))
        np.save(part / "skills.npy", np.ones((5, 1), np.int32))
        np.save(part / "responses.npy", np.ones(5, np.float32))
        np.save(part / "scored.npy", np.array([False, True, True, False, True]))
        np.save(part / "starts.npy", np.array([0, 3], np.int64))
        np.save(part / "lengths.npy", np.array([3, 2], np.int32))
    return tmp_path


def test_each_loader_reads_its_own_split(folder: Path) -> None:
    training = KnowledgeTracingData.for_training(folder, KnowledgeTracingTrainConfig(batch_steps=4))
    prediction = KnowledgeTracingData.for_prediction(folder, "test")
    for loader, place in (
        (training.train_dataloader(), 0),
        (training.val_dataloader(), 1),
        (prediction.predict_dataloader(), 2),
    ):
        items = np.concatenate([batch["items"][batch["mask"]].numpy() for batch in loader])
        assert items.tolist() == [place] * 5


def test_validation_knows_which_steps_count(folder: Path) -> None:
    config = KnowledgeTracingTrainConfig(batch_steps=4)
    for batch in KnowledgeTracingData.for_training(folder, config).val_dataloader():
        assert torch.equal(batch["scored"], batch["mask"] & (torch.arange(batch["mask"].shape[1]) > 0))


def test_training_shuffles_with_the_seed_of_the_configuration(folder: Path) -> None:
    loader = KnowledgeTracingData.for_training(folder, KnowledgeTracingTrainConfig(seed=7)).train_dataloader()
    assert loader.seed == 7
