"""The models that are measured, their batches, and the same in a plain torch loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[Tensor, Tensor]


class LinearNet(nn.Module):
    """The smallest model: everything that is measured is overhead."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 2)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of 32 samples."""
        features, target = batch
        return functional.mse_loss(self.layer(features), target)


class SequenceNet(nn.Module):
    """A model of the size of knowledge tracing: 32 students, 50 steps each."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(200, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.head = nn.Linear(128, 100)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of token ids and targets, both of shape (32, 50)."""
        tokens, target = batch
        states, _ = self.lstm(self.embedding(tokens))
        return functional.cross_entropy(self.head(states).flatten(0, 1), target.flatten())


class RecurrentNet(nn.Module):
    """An LSTM of 100 units over sequences of 200 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(32, 100, batch_first=True)
        self.head = nn.Linear(100, 2)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of sequences (32, 200, 32) and targets (32, 2)."""
        features, target = batch
        states, _ = self.lstm(features)
        return functional.mse_loss(self.head(states[:, -1]), target)


NETS: dict[str, Any] = {"linear": LinearNet, "tokens": SequenceNet, "lstm": RecurrentNet}


def make_model(name: str) -> Any:  # one of the nets above
    """Return the model called `name`, always with the same weights."""
    torch.manual_seed(0)
    return NETS[name]()


def make_batches(name: str, count: int) -> list[Batch]:
    """Return `count` batches for the model called `name`."""
    generator = torch.Generator().manual_seed(1)
    if name != "tokens":
        shape = (32, 32) if name == "linear" else (32, 200, 32)
        return [
            (torch.randn(shape, generator=generator), torch.randn(32, 2, generator=generator)) for _ in range(count)
        ]
    return [
        (
            torch.randint(200, (32, 50), generator=generator),
            torch.randint(100, (32, 50), generator=generator),
        )
        for _ in range(count)
    ]


class Batches:
    """An iterable of batches with a length; no loader's work is measured."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def bare_block(name: str, batches: list[Batch]) -> tuple[Callable[[], None], nn.Module]:
    """Return a function that runs one block in a plain loop, and its model."""
    model = make_model(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def run() -> None:
        for batch in batches:
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()
            optimizer.step()

    return run, model


def bare_validation(name: str, batches: list[Batch]) -> tuple[Callable[[], None], nn.Module]:
    """Return a function that runs one block of forward passes and adds up the losses, and its model."""
    model = make_model(name).eval()

    def run() -> None:
        total = torch.zeros(())
        with torch.inference_mode():
            for batch in batches:
                total += model.loss(batch)

    return run, model
