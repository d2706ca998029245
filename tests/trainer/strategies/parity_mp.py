"""Configurations of the parity tests: tensor, sequence and loss parallelism on a mesh, and what FSDP takes besides.

Two processes are one tensor-parallel group; four are two groups that read different data, but for "tp", which is one.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, SequenceParallel

from trainer.strategies import FSDPStrategy, LocalParameters, ModelParallelStrategy

DEVICES = int(os.environ.get("JOB_DEVICES", "2"))


class Feed(nn.Module):
    """A residual block with a normalisation, a factor of its own, and dropout where it is asked for."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.gain = nn.Parameter(torch.empty(width))
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gain, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.gain * self.dropout(self.down(torch.tanh(self.up(self.norm(x)))))
        return out


class Feeds(nn.Module):
    """Feed-forward blocks, split up and down; the rest is copied."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 8)
        self.blocks = nn.ModuleList(Feed(8, dropout) for _ in range(2))
        self.leave = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.leave(x)
        return out


class Sequence(nn.Module):
    """The same over four steps in time, which sequence parallelism splits."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 8)
        self.place = nn.Parameter(torch.linspace(-1, 1, 32).reshape(4, 8))
        self.blocks = nn.ModuleList(Feed(8) for _ in range(2))
        self.norm = nn.LayerNorm(8)
        self.leave = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.stack([x, x.roll(1, 1), x.roll(2, 1), x.roll(3, 1)], 1)
        hidden = self.enter(steps)  # its share of the steps
        hidden = hidden + self.place
        for block in self.blocks:
            hidden = block(hidden)
        out: Tensor = self.leave(self.norm(hidden))[:, :, 0].mean(1, keepdim=True)
        return out


class Classes(nn.Module):
    """Cross entropy over eight classes, in whose logits the processes have a share each."""

    def __init__(self) -> None:
        super().__init__()
        self.feeds = Feed(6)
        self.leave = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.leave(self.feeds(x))
        return out

    def loss(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]).float(), (batch[1][:, 0] * 4 + 4).long().clamp(max=7))


class Heads(nn.Module):
    """Attention with a parameter for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.read = nn.Linear(6, 24)
        self.slope = nn.Parameter(torch.linspace(0.1, 1, 4))
        self.out = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.stack([x, x.roll(1, 1), x.roll(2, 1)], 1)
        query, key, value = self.read(steps).unflatten(-1, (self.heads, 3, 2)).permute(3, 0, 2, 1, 4)
        score = torch.softmax(query @ key.transpose(-1, -2) * self.slope[:, None, None], -1)
        out: Tensor = self.out((score @ value).transpose(1, 2).flatten(2).mean(1))
        return out


class Normalised(nn.Module):
    """Statistics in buffers, and weights that are drawn; for the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(6, 9), nn.LayerNorm(9), nn.GELU(), nn.Linear(9, 9))
        self.recurrent = nn.GRU(9, 5, batch_first=True)
        self.leave = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.recurrent(self.blocks(x)[:, None])
        out: Tensor = self.leave(hidden[:, 0])
        return out


NETS: dict[str, type[nn.Module]] = {
    "feeds": Feeds, "sequence": Sequence, "classes": Classes, "heads": Heads, "normalised": Normalised,
}  # fmt: skip

FEEDS: dict[str, ParallelStyle] = {"net.blocks.*.up": ColwiseParallel(), "net.blocks.*.down": RowwiseParallel()}


def sequence_plan(module: nn.Module, mesh: Any) -> dict[str, ParallelStyle]:
    """Between `enter` and `leave` each process has its steps; `place` and `gain` are used on these alone."""
    return {
        "net": LocalParameters({"place": 0}),
        "net.enter": ColwiseParallel(output_layouts=Shard(1)),
        "net.blocks.*": LocalParameters(partial=["gain"]),
        "net.blocks.*.norm": SequenceParallel(use_local_output=True),
        "net.blocks.*.up": ColwiseParallel(input_layouts=Shard(1)),
        "net.blocks.*.down": RowwiseParallel(output_layouts=Shard(1)),
        "net.norm": SequenceParallel(use_local_output=True),
        "net.leave": RowwiseParallel(input_layouts=Shard(1), output_layouts=Replicate()),
    }


CLASSES: dict[str, ParallelStyle] = {
    "net.feeds.up": ColwiseParallel(),
    "net.feeds.down": RowwiseParallel(),
    "net.leave": ColwiseParallel(output_layouts=Shard(-1), use_local_output=False),
}
HEADS: dict[str, ParallelStyle] = {
    "net": LocalParameters({"slope": 0}, divide=["heads"]),
    "net.read": ColwiseParallel(),
    "net.out": RowwiseParallel(),
}


def _mesh(net: str = "feeds", plan: Any = FEEDS, tensor: int = 2, **fields: Any) -> dict[str, Any]:
    """Return a configuration on a mesh; groups of two processes hold a copy of the model by default."""
    options = {name: fields.pop(name) for name in set(fields) & _ARGUMENTS}
    one_file: dict[str, Any] = {"save_distributed_checkpoint": False}
    make = partial(ModelParallelStrategy, tensor_parallel_size=tensor, plan=plan, **one_file, **options)
    return {"strategy": make, "net": net, "copies": tensor, **fields}


_ARGUMENTS = {"data_parallel", "loss_parallel", "activation_checkpointing_policy"}
_COPIED: dict[str, ParallelStyle] = {"net.blocks.*.0": ColwiseParallel(output_layouts=Replicate())}
_SUMS = {"accumulate_grad_batches": 3}
_CLIPS = {"gradient_clip_val": 0.1}
_CLIPS_VALUES = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}

CONFIGS: dict[str, dict[str, Any]] = {
    # One group of all processes: they read the same data, so that dropout is that of one process.
    "tp/dropout": _mesh(tensor=DEVICES, dropout=0.3),
    # A key's bias has no effect, so that Adam would make rounding errors into steps.
    "tp/heads": _mesh("heads", HEADS, DEVICES, optimizer="sgd", ema=True),
    "tp-fsdp/blocks": _mesh("blocks", _COPIED),
    "tp-fsdp/feeds": _mesh(optimizer="sgd"),
    "tp-fsdp/accumulate": _mesh(options=_SUMS),
    "tp-fsdp/clip": _mesh(optimizer="sgd", options=_CLIPS),
    "tp-fsdp/ema": _mesh(ema=True),
    "tp-fsdp/checkpointed": _mesh(activation_checkpointing_policy={Feed}),
    "tp-fsdp/recurrent": _mesh("recurrent", {}),
    "tp-fsdp/tied": _mesh("tied", {}, optimizer="sgd"),
    "tp-fsdp/meta": _mesh(deferred=True),
    "tp-ddp/feeds": _mesh(data_parallel="ddp"),
    "tp-ddp/clip-accumulate": _mesh(data_parallel="ddp", optimizer="sgd", ema=True, options=_CLIPS | _SUMS),
    "sequence/schedule": _mesh("sequence", sequence_plan, optimizer="sgd"),
    "sequence/clip-value": _mesh("sequence", sequence_plan, optimizer="sgd", options=_CLIPS_VALUES),
    "sequence-ddp/clip": _mesh("sequence", sequence_plan, data_parallel="ddp", optimizer="sgd", options=_CLIPS),
    "loss-parallel/clip": _mesh("classes", CLASSES, loss_parallel=True, options=_CLIPS),
    "fsdp/checkpointed": {
        "strategy": partial(FSDPStrategy, activation_checkpointing_policy={nn.Sequential}), "options": _SUMS,
    },
    "fsdp/by-machine": {"strategy": partial(FSDPStrategy, sharding_strategy="HYBRID_SHARD"), "optimizer": "sgd"},
    "fsdp/meta": {"strategy": FSDPStrategy, "net": "normalised", "deferred": True, "ema": True},
    "fsdp-offload/meta": {"strategy": partial(FSDPStrategy, cpu_offload=True), "net": "normalised", "deferred": True},
    "fsdp/bf16-mixed": {"strategy": FSDPStrategy, "net": "feeds", "options": {"precision": "bf16-mixed"}},
    "fsdp/bf16-true": {"strategy": FSDPStrategy, "net": "classes", "options": {"precision": "bf16-true"}},
    "tp-fsdp/bf16-mixed": _mesh(options={"precision": "bf16-mixed"}),
}  # fmt: skip

SOME = ("tp/heads", "tp-fsdp/accumulate", "tp-ddp/clip-accumulate", "sequence/clip-value", "loss-parallel/clip",
        "tp-fsdp/meta")  # fmt: skip
"""What four processes train in every run of the tests; all of them in a soak."""

LOSSY = ("fsdp/bf16-mixed", "fsdp/bf16-true", "tp-fsdp/bf16-mixed")
"""What computes in fewer digits: the losses are those of one process but for rounding."""
