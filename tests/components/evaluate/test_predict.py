"""Predictions come back in the order of the flat arrays, each step once, whatever order the loader gives."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from components.app import Application, load_application
from components.errors import SchemaError
from components.evaluate.predict import gathered, predict_split
from flows.knowledge_tracing.config import DktConfig
from trainer import Trainer

Batch = dict[str, torch.Tensor]


def batch(index: list[int], probability: list[float]) -> Batch:
    return {"index": torch.tensor(index), "probability": torch.tensor(probability)}


def test_batches_in_any_order_and_shape_are_put_in_place() -> None:
    two_rows = {"index": torch.tensor([[3, 0], [1, 4]]), "probability": torch.tensor([[0.3, 0.0], [0.1, 0.4]])}
    half = {"index": torch.tensor([2]), "probability": torch.tensor([0.25], dtype=torch.bfloat16, requires_grad=True)}
    found = gathered([two_rows, half], 5)
    assert found.dtype == np.float32
    assert found == pytest.approx([0.0, 0.1, 0.25, 0.3, 0.4])


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([batch([0, 1], [0.5, 0.5])], "Of 3 steps, 1 were not predicted"),
        ([batch([0, 1, 2, 2], [0.5] * 4)], "1 were predicted more than once"),
        ([batch([0, 1, 2, 3, -1], [0.5] * 5)], "2 do not exist"),
        ([batch([0, 1, 2], [0.5, 1.5, float("nan")])], r"2 have no probability in \[0, 1\]"),
        ([batch([0, 1, 1, 7], [0.5] * 4)], "1 do not exist, 1 were predicted more than once, 1 were not predicted"),
        ([], "3 were not predicted"),
        ([batch([0, 1, 2], [0.5, 0.5])], "3 indices and 2 probabilities"),
    ],
)
def test_each_step_must_be_predicted_exactly_once(batches: list[Batch], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        gathered(batches, 3)


@pytest.mark.usefixtures("fake_trainer")
def test_the_applications_model_and_data_are_used_by_their_contract(
    application: Application, tmp_path: Path, split_writer: Callable[..., None]
) -> None:
    split_writer(tmp_path / "data" / "test", [0, 1], [[([2], 1.0)] * 3, [([2], 0.0)] * 8], 4)
    table = torch.linspace(0.0, 1.0, 11)
    torch.save(table, tmp_path / "model.ckpt")
    found = predict_split(application, tmp_path / "data", tmp_path, "test")
    assert found.tolist() == table.tolist()


def test_the_real_trainer_and_model_predict_each_window_as_if_it_were_alone(
    tmp_path: Path, split_writer: Callable[..., None]
) -> None:
    source = np.random.default_rng(2)
    for split, students in (("train", 12), ("valid", 6), ("test", 6)):
        sequences = [
            [([int(source.integers(2, 6)), 0], float(source.random() < 0.6)) for _ in range(source.integers(1, 25))]
            for _ in range(students)
        ]
        split_writer(tmp_path / split, list(range(students)), sequences, 10)
    application = load_application("knowledge_tracing")
    network = asdict(DktConfig(width=8, hidden=8))
    model = application.part(application.model)(items=2, skills=6, max_skills=2, network=network)
    data = application.part(application.data)(tmp_path, batch_steps=64, seed=0)
    fitter = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    fitter.fit(model, datamodule=data)
    fitter.save_checkpoint(tmp_path / "model.ckpt")

    found = predict_split(application, tmp_path, tmp_path, "test")

    model.eval()
    arrays = {name: np.load(tmp_path / "test" / f"{name}.npy") for name in ("items", "skills", "responses")}
    starts, lengths = (np.load(tmp_path / "test" / f"{name}.npy") for name in ("starts", "lengths"))
    for start, length in zip(starts, lengths, strict=True):
        window = {name: torch.from_numpy(array[start : start + length])[None] for name, array in arrays.items()}
        with torch.no_grad():
            alone = model(window["items"].long(), window["skills"].long(), window["responses"])[0]
        assert found[start : start + length] == pytest.approx(alone.numpy(), abs=1e-6)
    assert len(found) == lengths.sum()
