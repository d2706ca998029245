"""Models and data that do as little as possible, for tests of code around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from trainer.datamodule import LightningDataModule
from trainer.module import LightningModule

_WIDTH, _SAMPLES = 32, 64

__all__ = [
    "BoringDataModule",
    "BoringDataModuleNoLen",
    "BoringModel",
    "DemoModel",
    "ManualOptimBoringModel",
    "RandomDataset",
    "RandomDictDataset",
    "RandomIterableDataset",
    "RandomIterableDatasetWithLen",
]


class RandomDataset(Dataset[Tensor]):
    """`length` vectors of `size` normal numbers."""

    def __init__(self, size: int, length: int) -> None:
        self.len = length
        self.data = torch.randn(length, size)

    def __getitem__(self, index: int) -> Tensor:
        return self.data[index]

    def __len__(self) -> int:
        return self.len


class RandomDictDataset(Dataset[dict[str, Tensor]]):
    """The same, each as a dict: "a", and "b", which is two more."""

    def __init__(self, size: int, length: int) -> None:
        self.len = length
        self.data = torch.randn(length, size)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"a": self.data[index], "b": self.data[index] + 2}

    def __len__(self) -> int:
        return self.len


class RandomIterableDataset(IterableDataset[Tensor]):
    """A stream of `count` vectors of `size` normal numbers, others each time."""

    def __init__(self, size: int, count: int) -> None:
        self.size = size
        self.count = count

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(self.count):
            yield torch.randn(self.size)


class RandomIterableDatasetWithLen(RandomIterableDataset):
    """The same, with a length."""

    def __len__(self) -> int:
        return self.count


class BoringModel(LightningModule):
    """One linear layer from 32 features to 2, trained towards ones; has every step and loader."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(_WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output."""
        output: Tensor = self.layer(x)
        return output

    def loss(self, preds: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the mean squared distance from `labels`, by default from ones."""
        return functional.mse_loss(preds, torch.ones_like(preds) if labels is None else labels)

    def step(self, batch: Any) -> Tensor:
        """Return the loss of a batch."""
        return self.loss(self(batch))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Return the loss in a dict."""
        return {"loss": self.step(batch)}

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        """Return the loss under "x"."""
        return {"x": self.step(batch)}

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        """Return the loss under "y"."""
        return {"y": self.step(batch)}

    def configure_optimizers(self) -> Any:
        """Return SGD with a learning rate of 0.1, which falls to a tenth in each epoch."""
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)]

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return 64 batches of one sample."""
        return _loader()

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Return 64 batches of one sample."""
        return _loader()

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Return 64 batches of one sample."""
        return _loader()

    def predict_dataloader(self) -> DataLoader[Tensor]:
        """Return 64 batches of one sample."""
        return _loader()


def _loader() -> DataLoader[Tensor]:
    return DataLoader(RandomDataset(_WIDTH, _SAMPLES))


class ManualOptimBoringModel(BoringModel):
    """The same under manual optimisation."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Take one step and return the loss."""
        optimizer = self.optimizers()
        loss = self.step(batch)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss


class BoringDataModule(LightningDataModule):
    """256 random samples, a quarter for each stage, set up when the stage begins."""

    def __init__(self) -> None:
        super().__init__()
        self.random_full = RandomDataset(_WIDTH, _SAMPLES * 4)

    def setup(self, stage: str) -> None:
        """Cut out what the stage needs."""
        if stage == "fit":
            self.random_train = self._quarter(0)
        if stage in ("fit", "validate"):
            self.random_val = self._quarter(1)
        if stage == "test":
            self.random_test = self._quarter(2)
        if stage == "predict":
            self.random_predict = self._quarter(3)

    def _quarter(self, index: int) -> Subset[Tensor]:
        return Subset(self.random_full, range(_SAMPLES * index, _SAMPLES * (index + 1)))

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return the first quarter."""
        return DataLoader(self.random_train)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Return the second quarter."""
        return DataLoader(self.random_val)

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Return the third quarter."""
        return DataLoader(self.random_test)

    def predict_dataloader(self) -> DataLoader[Tensor]:
        """Return the last quarter."""
        return DataLoader(self.random_predict)


class BoringDataModuleNoLen(LightningDataModule):
    """Streams without a length."""

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return 512 samples."""
        return DataLoader(RandomIterableDataset(_WIDTH, 512))

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Return 128 samples."""
        return DataLoader(RandomIterableDataset(_WIDTH, 128))

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Return 256 samples."""
        return DataLoader(RandomIterableDataset(_WIDTH, 256))

    def predict_dataloader(self) -> DataLoader[Tensor]:
        """Return 64 samples."""
        return DataLoader(RandomIterableDataset(_WIDTH, 64))


class DemoModel(LightningModule):
    """One linear layer with its size and learning rate as arguments."""

    def __init__(self, out_dim: int = 10, learning_rate: float = 0.02) -> None:
        super().__init__()
        self.l1 = nn.Linear(_WIDTH, out_dim)
        self.learning_rate = learning_rate

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's positive part."""
        return torch.relu(self.l1(x.flatten(1)))

    def training_step(self, batch: Any, batch_nb: int) -> Any:
        """Return the sum of the output."""
        return self(batch).sum()

    def configure_optimizers(self) -> Any:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)
