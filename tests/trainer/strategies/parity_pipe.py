"""Configurations of the parity tests that send batches through a pipeline."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from tests.trainer.strategies.parity_model import ParityModel
from trainer.strategies import PipelineStrategy

DEVICES = int(os.environ.get("JOB_DEVICES", "2"))
HALF = max(1, DEVICES // 2)


class Residual(nn.Module):
    """A layer beside what goes into it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


class Chain(nn.Sequential):
    """A sequence of layers, found by itself."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 12), *(Residual(12) for _ in range(6)), nn.Linear(12, 1))


class Entry(nn.Module):
    """Embeds, and passes a mask on."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"hidden": self.embed((x.abs() * 5).long().clamp(max=10)), "mask": x > -1}


class Gate(nn.Module):
    """Changes the hidden values where the mask is true."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 5, batch_first=True)

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        hidden, _ = self.lstm(given["hidden"])
        return {**given, "hidden": given["hidden"] + hidden * given["mask"].unsqueeze(-1)}


class Exit(nn.Module):
    """One number for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.leave = nn.Linear(5, 1)

    def forward(self, given: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.leave(given["hidden"][:, -1])
        return out


class Masked(nn.Module):
    """Layers that pass dicts with a boolean mask, and say themselves which they are."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.leave = Entry(), Exit()
        self.gates = nn.ModuleList([Gate() for _ in range(3)])

    def pipeline_layers(self) -> list[nn.Module]:
        return [self.entry, *self.gates, self.leave]

    def forward(self, x: Tensor) -> Tensor:
        given = self.entry(x)
        for gate in self.gates:
            given = gate(given)
        out: Tensor = self.leave(given)
        return out


class Piped(ParityModel):
    """Keeps the loss over the global batch of each step, as every process hears of it."""

    def __init__(self, net: str, optimizer: str) -> None:
        super().__init__(optimizer)
        self.net = {"chain": Chain, "masked": Masked}[net]()

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.net(x * 2 - x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_epoch=True)
        self.log("smallest", batch[0].min(), on_step=False, on_epoch=True, reduce_fx="min")
        self.log("samples", float(len(batch[0])), on_step=False, on_epoch=True, reduce_fx="sum")
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(self.all_gather(outputs["loss"]).mean().item())

    def groups(self) -> Any:
        layers = list(self.net.children())  # in a pipeline, one group has nothing to train on each process
        groups: list[dict[str, Any]] = [
            {"params": list(layers[0].parameters())},
            {"params": [p for layer in layers[1:] for p in layer.parameters()], "lr": 0.01},
        ]
        return torch.optim.AdamW(groups, lr=0.03)


def _piped(net: str = "chain", optimizer: str = "adam", *, copies: int = 1, **options: Any) -> dict[str, Any]:
    more: dict[str, Any] = {name: options.pop(name) for name in ("options", "ema") if name in options}
    return {
        "strategy": lambda: PipelineStrategy(data_parallel_size=copies, **options),
        "net": net,
        "optimizer": optimizer,
        "copies": DEVICES // copies,
        "model": Piped,
        **more,
    }


SOME = ("pipe-1f1b/masked", "pipe-interleaved/clip", "pipe-copies/clip", "pipe/bf16")
"""Run on four processes too."""

LOSSY = ("pipe/bf16",)

CONFIGS: dict[str, dict[str, Any]] = {
    "pipe-gpipe/chain": _piped(schedule="gpipe", microbatches=4),
    "pipe-1f1b/chain": _piped(microbatches=8),
    "pipe-1f1b/masked": _piped("masked"),
    "pipe-1f1b/groups": _piped(optimizer="groups", microbatches=4),
    "pipe-1f1b/points": _piped(microbatches=4, split_points=[f"net.{n}" for n in range(1, DEVICES)]),
    "pipe-interleaved/chain": _piped(schedule="interleaved_1f1b"),
    "pipe-interleaved/clip": _piped(
        schedule="interleaved_1f1b", microbatches=4, optimizer="sgd", options={"gradient_clip_val": 0.1}
    ),
    "pipe-bfs/chain": _piped(schedule="looped_bfs", microbatches=2),
    "pipe/accumulate": _piped(options={"accumulate_grad_batches": 3}),
    "pipe/clip": _piped(optimizer="sgd", microbatches=4, options={"gradient_clip_val": 0.1}),
    "pipe/clip-value": _piped(optimizer="sgd", options={"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}),
    "pipe/schedule": _piped("masked", "sgd"),
    "pipe/ema": _piped(ema=True),
    "pipe/double": _piped(options={"precision": "64-true"}),
    "pipe/bf16": _piped("masked", "sgd", options={"precision": "bf16-mixed"}),
    "pipe-copies/chain": _piped(copies=HALF),
    "pipe-copies/clip": _piped("masked", "sgd", copies=HALF, options={"gradient_clip_val": 0.1}),
    "pipe-copies/accumulate": _piped(copies=HALF, options={"accumulate_grad_batches": 3}),
}
