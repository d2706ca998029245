"""Small models, data and trainers that the trainer's tests share."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import trainer as L

Batch = tuple[Tensor, Tensor]


def make_trainer(tmp_path: Path, **options: Any) -> L.Trainer:
    """Return a trainer on one CPU that shows and keeps nothing unless asked to."""
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": tmp_path,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    callbacks = options.get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    if any(isinstance(callback, L.callbacks.ModelCheckpoint) for callback in callbacks):
        quiet["enable_checkpointing"] = True
    return L.Trainer(**(quiet | options))


def regression_data(samples: int = 24, width: int = 4) -> TensorDataset:
    """Return samples whose target is the sum of the features; always the same."""
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(samples, width, generator=generator)
    return TensorDataset(features, features.sum(1, keepdim=True))


def regression_loader(samples: int = 24, batch_size: int = 4, **options: Any) -> DataLoader[Any]:
    """Return a loader of `regression_data`."""
    return DataLoader(regression_data(samples), batch_size=batch_size, **options)


class Regression(L.LightningModule):
    """A small network with dropout; the same weights every time."""

    def __init__(self, width: int = 4, dropout: float = 0.0, lr: float = 0.05, seed: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = nn.Sequential(nn.Linear(width, 6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 1))
        self.lr = lr

    @property
    def first(self) -> nn.Linear:
        """Return the first layer."""
        layer = self.net[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, features: Tensor) -> Tensor:
        prediction: Tensor = self.net(features)
        return prediction

    def loss(self, batch: Batch) -> Tensor:
        features, target = batch
        return functional.mse_loss(self(features), target)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class LoggingRegression(Regression):
    """The same, with metrics for training and validation."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test_loss", self.loss(batch))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        prediction: Tensor = self(batch[0])
        return prediction


class SeveralLoaders(LoggingRegression):
    """The same, for several loaders in an evaluation."""

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        super().validation_step(batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        super().test_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        return super().predict_step(batch, batch_idx)


def metric_lines(folder: str | Path | None) -> list[str]:
    """Return the lines of a run's metrics.csv with "step" and "epoch" as the first columns."""
    with open(Path(str(folder)) / "metrics.csv", newline="") as file:
        header, *rows = csv.reader(file)
    order = sorted(range(len(header)), key=lambda at: (header[at] not in ("step", "epoch"), header[at] == "epoch"))
    return [",".join(row[at] for at in order) for row in (header, *rows)]


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the module's weights."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def assert_equal_weights(one: nn.Module | dict[str, Tensor], other: nn.Module | dict[str, Tensor]) -> None:
    """Assert that all weights are equal, bit for bit."""
    left = weights_of(one) if isinstance(one, nn.Module) else one
    right = weights_of(other) if isinstance(other, nn.Module) else other
    assert left.keys() == right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert different == []


def bare_sgd(module: Regression, loader: DataLoader[Any], epochs: int, accumulate: int = 1) -> list[float]:
    """Train `module` in a plain torch loop and return the losses."""
    optimizer = torch.optim.SGD(module.parameters(), lr=module.lr)
    losses = []
    for _ in range(epochs):
        for batch in loader:
            optimizer.zero_grad()
            loss = module.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            losses.append(loss.item())
    return losses
