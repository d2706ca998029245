"""Trains every configuration of the parity tests, one after the other: `parity_jobs.py FOLDER [NAME ...]`.

The global batch is the same for any number of processes, so the losses have to be those of one process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import trainer as L
from tests.trainer.strategies import parity_hooks, parity_mp, parity_pipe
from tests.trainer.strategies.parity_model import ParityModel
from trainer.callbacks import EMAWeightAveraging, ModelCheckpoint
from trainer.strategies.ddp import DDP
from trainer.strategies.fsdp import FSDP
from trainer.strategies.strategy import Strategy

DEVICES = int(os.environ.get("JOB_DEVICES", "2"))
GLOBAL_BATCH, BATCHES, EPOCHS = 8, 10, 2


class Blocks(nn.Module):
    """Residual blocks in a ModuleList."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 12)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(12, 12), nn.Tanh()) for _ in range(3)])
        self.leave = nn.Linear(12, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.leave(x)
        return out


class Recurrent(nn.Module):
    """Embedding and LSTM, with odd sizes that split unevenly."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 5)
        self.lstm = nn.LSTM(5, 7, batch_first=True)
        self.leave = nn.Linear(7, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.embed((x.abs() * 5).long().clamp(max=10)))
        out: Tensor = self.leave(hidden[:, -1])
        return out


class Tied(nn.Module):
    """One matrix used twice, and a parameter of the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.full((6,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.second(torch.tanh(self.first(x))) * self.scale).sum(1, keepdim=True)
        return out


class Model(ParityModel):
    """Keeps the loss over the global batch of each step."""

    def __init__(self, net: str, optimizer: str, dropout: float = 0.0, deferred: bool = False) -> None:
        super().__init__(optimizer)
        kinds: dict[str, Any] = {"blocks": Blocks, "recurrent": Recurrent, "tied": Tied} | parity_mp.NETS
        self.make = partial(kinds[net], dropout) if dropout else kinds[net]
        self.net = None if deferred else self.make()

    def configure_model(self) -> None:
        if self.net is None:
            with torch.device("meta" if DEVICES > 1 else "cpu"):
                self.net = self.make()

    def loss(self, batch: Any) -> Tensor:
        own = getattr(self.net, "loss", None)  # cross entropy instead of squares
        found: Tensor = nn.functional.mse_loss(self.net(batch[0]), batch[1]) if own is None else own(batch)
        return found

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.losses.append(self.all_gather(loss.detach()).mean().item())
        self.log("train_loss", loss, on_epoch=True)
        return loss

    def groups(self) -> Any:
        weights = [parameter for parameter in self.parameters() if parameter.dim() > 1]
        others = [parameter for parameter in self.parameters() if parameter.dim() < 2]
        groups: list[dict[str, Any]] = [{"params": weights, "lr": 0.02, "weight_decay": 0.1}, {"params": others}]
        two = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0)
        every = torch.optim.lr_scheduler.LambdaLR(two, [lambda step: 0.9**step, lambda step: 1 / (1 + step)])
        return {"optimizer": two, "lr_scheduler": {"scheduler": every, "interval": "step"}}


@dataclass(frozen=True)
class Config:
    strategy: Callable[[], Strategy]
    net: str = "blocks"
    optimizer: str = "adam"
    options: dict[str, Any] = field(default_factory=dict)
    ema: bool = False
    tolerance: float = 1e-5
    copies: int = 1
    """How many processes hold one copy of the model and read the same data."""
    dropout: float = 0.0
    deferred: bool = False
    model: Callable[..., Any] = Model


def _configs() -> dict[str, Config]:
    ways: dict[str, Callable[[], Strategy]] = {
        "ddp": DDP,
        "fsdp": FSDP,
        "fsdp-keep": lambda: FSDP(sharding_strategy="SHARD_GRAD_OP"),
        "fsdp-offload": lambda: FSDP(cpu_offload=True),
        "fsdp-hybrid": lambda: FSDP(
            sharding_strategy="HYBRID_SHARD", device_mesh=(max(1, DEVICES // 2), min(2, DEVICES))
        ),
        "fsdp-whole": lambda: FSDP(auto_wrap_policy=set()),
    }
    found = {}
    for way, make in ways.items():
        found[f"{way}/blocks"] = Config(make)
        found[f"{way}/recurrent"] = Config(make, "recurrent")
        found[f"{way}/tied"] = Config(make, "tied", "sgd")
    for way in ("ddp", "fsdp"):
        make = ways[way]
        found[f"{way}/accumulate"] = Config(make, options={"accumulate_grad_batches": 3})
        found[f"{way}/clip"] = Config(make, optimizer="sgd", options={"gradient_clip_val": 0.1})
        found[f"{way}/clip-value"] = Config(
            make, "tied", "sgd", options={"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}
        )
        found[f"{way}/schedule"] = Config(make, "recurrent", "sgd")
        found[f"{way}/ema"] = Config(make, ema=True)
        found[f"{way}/double"] = Config(make, options={"precision": "64-true"})
    found |= parity_hooks.configurations(Config)
    found |= {name: Config(**fields) for name, fields in (parity_mp.CONFIGS | parity_pipe.CONFIGS).items()}
    for name in (*parity_mp.LOSSY, *parity_pipe.LOSSY):
        found[name] = dataclasses.replace(found[name], tolerance=parity_hooks.LOSSY_TOLERANCE)
    return found


CONFIGS = _configs()


def data(size: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(size, 6, generator=generator)
    return TensorDataset(x, x.sum(1, keepdim=True).sin())


def train(config: Config, folder: Path) -> dict[str, Any]:
    """Train, validate and save; with JOB_EPOCHS a checkpoint `epoch.ckpt` is left at the end of the last epoch."""
    L.seed_everything(3, verbose=False)
    epochs = os.environ.get("JOB_EPOCHS")
    more = {"dropout": config.dropout, "deferred": config.deferred} if config.model is Model else {}
    model = config.model(config.net, config.optimizer, **more)
    callbacks: list[L.Callback] = [EMAWeightAveraging(decay=0.8)] if config.ema else []
    if epochs is not None:
        callbacks.append(ModelCheckpoint(folder, filename="epoch", save_on_train_epoch_end=True))
    trainer = L.Trainer(
        accelerator="cpu", devices=DEVICES, strategy=config.strategy() if DEVICES > 1 else "auto",
        max_epochs=int(epochs or EPOCHS), logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=epochs is not None, default_root_dir=folder, callbacks=callbacks, num_sanity_val_steps=0,
        **config.options,
    )  # fmt: skip
    batch_size = GLOBAL_BATCH * config.copies // DEVICES if DEVICES > 1 else GLOBAL_BATCH
    loader = DataLoader(data(GLOBAL_BATCH * BATCHES), batch_size=batch_size, shuffle=True)
    check = DataLoader(data(13), batch_size=3)
    trainer.fit(model, loader, check, ckpt_path=os.environ.get("JOB_FROM"))
    validated = trainer.validate(model, check, verbose=False)[0]["val_loss"]
    path = folder / "model.ckpt"
    trainer.save_checkpoint(path)
    weights = torch.load(path, weights_only=True)["state_dict"]
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    return {
        "losses": model.losses,
        "validated": validated,
        "metrics": metrics,
        "weights": {name: value.flatten().tolist() for name, value in weights.items()},
        "memory": sum(_local(p).numel() for p in model.parameters()),
    }


def _local(parameter: Tensor) -> Tensor:
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


if __name__ == "__main__":
    place, names = Path(sys.argv[1]), sys.argv[2:] or list(CONFIGS)
    found = {}
    for name in names:
        folder = place / name.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        found[name] = train(CONFIGS[name], folder)
    rank = int(os.environ.get("RANK", "0"))
    (place / f"rank-{rank}.json").write_text(json.dumps(found))
