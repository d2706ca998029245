"""Scripts of several processes, run as `fabric_jobs.py JOB FOLDER`; each process writes what it saw."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import trainer as L


class Net(nn.Module):
    """A model with a step of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 1)."""
        return self.layer(x)  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def training_step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return nn.functional.mse_loss(self(x), y)

    def other_step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss too, without being known as a step."""
        return self.training_step(x, y)


def data(world_size: int) -> DataLoader[Any]:
    """Return a loader whose global batch is 8 whatever the number of processes."""
    source = torch.Generator().manual_seed(5)
    rows = TensorDataset(torch.randn(32, 4, generator=source), torch.randn(32, 1, generator=source))
    return DataLoader(rows, batch_size=8 // world_size, shuffle=True)


def train(fabric: L.Fabric, accumulate: int = 1) -> dict[str, Any]:
    """Train three epochs; return the losses of the global batches and the weights."""
    torch.manual_seed(3)
    model = Net()
    model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=0.05))
    batches = fabric.setup_dataloaders(data(fabric.world_size))
    torch.manual_seed(11)
    losses = []
    for _ in range(3):
        for index, (x, y) in enumerate(batches):
            steps = (index + 1) % accumulate == 0
            with fabric.no_backward_sync(model, enabled=not steps):
                loss = model.training_step(x, y)
                fabric.backward(loss / accumulate)
            if steps:
                fabric.clip_gradients(model, optimizer, max_norm=1.0)
                optimizer.step()
                optimizer.zero_grad()
            losses.append(float(fabric.all_reduce(loss.detach().clone())))
    return {"losses": losses, "weights": model.layer.weight.flatten().tolist()}


def exchange(fabric: L.Fabric, folder: Path) -> dict[str, Any]:
    """Return what every exchange gives on this process."""
    rank = fabric.global_rank
    found: dict[str, Any] = {
        "gathered": fabric.all_gather({"rank": torch.tensor([rank, 10])})["rank"].tolist(),
        "number": fabric.all_gather(float(rank)).tolist(),
        "mean": fabric.all_reduce(torch.tensor(float(rank))).item(),
        "mean_of_whole": fabric.all_reduce(torch.tensor(rank)).item(),
        "sum": fabric.all_reduce({"a": torch.tensor(rank + 1)}, reduce_op="sum")["a"].item(),
        "max": fabric.all_reduce(torch.tensor(rank), reduce_op="max").item(),
        "from_zero": fabric.broadcast({"rank": rank}),
        "from_one": fabric.broadcast(torch.full((2,), float(rank)), src=1).tolist(),
    }
    value = torch.tensor([float(rank + 1)], requires_grad=True)
    (fabric.all_gather(value, sync_grads=True) * torch.tensor([[2.0], [3.0]])).sum().backward()
    found["gradient"] = None if value.grad is None else value.grad.tolist()
    with fabric.rank_zero_first():
        marker = folder / "first"
        found["there"] = marker.exists()
        marker.touch()
    torch.manual_seed(rank)  # unequal weights, which setting up makes equal
    model = fabric.setup(Net())
    found["equal"] = fabric.all_gather(model.layer.weight.detach()).flatten(1).tolist()
    fabric.save(folder / "state.ckpt", {"model": model, "rank": rank})
    found["saved"] = fabric.load(folder / "state.ckpt")["rank"]
    found["names"] = sorted(fabric.load(folder / "state.ckpt")["model"])
    x, y = torch.ones(2, 4), torch.ones(2, 1)
    try:
        model.other_step(x, y)
    except RuntimeError as error:
        found["refused"] = str(error)
    model.mark_forward_method("other_step")
    found["loss"] = model.other_step(x, y).item()
    found["parts"] = sorted(float(row) for batch in fabric.setup_dataloaders(rows()) for row in batch[0])
    return found


def rows() -> DataLoader[Any]:
    """Return seven rows: one is repeated in two processes."""
    return DataLoader(TensorDataset(torch.arange(7.0)), batch_size=2)


def main() -> None:
    """Run the jobs that the command names, one after the other."""
    jobs = sys.argv[1].split(",")
    fabric = L.Fabric(accelerator="cpu", devices=int(os.environ["JOB_DEVICES"]))
    if jobs != ["launch"]:
        fabric.launch()
    for job in jobs:
        folder = Path(sys.argv[2]) / job
        folder.mkdir(parents=True, exist_ok=True)
        if job == "launch":
            found = fabric.launch(lambda own, text: {"text": text, "world_size": own.world_size}, "given")
        else:
            found = exchange(fabric, folder) if job == "exchange" else train(fabric, 2 if job == "accumulate" else 1)
        (folder / f"rank-{fabric.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
