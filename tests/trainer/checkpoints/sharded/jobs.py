"""What the processes of the tests of sharded checkpoints do; `tests.forked` starts each at once."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import RowwiseParallel
from torch.utils.data import DataLoader, Dataset

import trainer as L
from tests.forked import serve
from trainer.callbacks import ModelCheckpoint
from trainer.checkpoints.sharded import manifest
from trainer.errors import CheckpointError, MisconfigurationException
from trainer.plugins import AsyncCheckpointIO
from trainer.plugins.precision import Precision
from trainer.seed import capture_rng
from trainer.strategies import DDPStrategy, FSDPStrategy, ModelParallelStrategy, SingleDeviceStrategy, Strategy

GLOBAL_BATCH, BATCHES, SAVED_AT, END = 8, 10, 7, 12
STRATEGIES = ("plain", "fsdp", "fsdp-hybrid")
MORE = ("mesh", "zero")
"""Saved by two and four processes; a group of two on a mesh holds one copy of the model and reads the same data."""


class Numbered(Dataset[Any]):
    """Samples that know which they are."""

    def __init__(self, size: int = GLOBAL_BATCH * BATCHES) -> None:
        self.x = torch.randn(size, 6, generator=torch.Generator().manual_seed(5))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[int, Tensor, Tensor]:
        return index, self.x[index], self.x[index].sum().sin().reshape(1)


class Model(L.LightningModule):
    """Odd sizes, a buffer, a parameter used twice; keeps losses and which samples they are of."""

    seen: Tensor

    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.save_hyperparameters()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.enter = nn.Linear(6, width)
            first, second = nn.Linear(width, width), nn.Linear(width, width)
            second.weight = first.weight
            self.inner = nn.ModuleList([first, second])
            self.leave = nn.Linear(width, 1)
        self.register_buffer("seen", torch.zeros(3))
        self.losses: list[float] = []
        self.samples: list[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for layer in self.inner:
            x = x + torch.tanh(layer(x))
        out: Tensor = self.leave(x)
        return out

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        index, x, y = batch
        loss = nn.functional.mse_loss(self(x), y)
        everywhere = self.all_gather({"loss": loss.detach(), "index": index})
        self.losses.append(everywhere["loss"].mean().item())
        self.samples.append(sorted(everywhere["index"].flatten().tolist()))
        self.seen += 1
        torch.rand(1), random.random(), np.random.random()  # noqa: NPY002 - as users' steps do
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.mse_loss(self(batch[1]), batch[2]))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5), "interval": "step"},
        }


class Scaled(Precision):
    """A number format with a scaler of its own, whose state moves."""

    def __init__(self) -> None:
        self.scale, self.growth = 8.0, torch.tensor([1.0, 2.0])

    def post_backward(self, tensor: Tensor, module: Any) -> Tensor:
        self.scale *= 1.5
        self.growth += 1
        return super().post_backward(tensor, module)

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self.scale, "growth": self.growth.clone()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scale, self.growth = state_dict["scale"], state_dict["growth"].clone()


class Watch(L.Callback):
    """Saves after a step, and notes where generators and the scaler stand at step SAVED_AT."""

    def __init__(self, path: Path, at: int, plugin: Scaled) -> None:
        self.path = path
        self.at = at
        self.plugin = plugin
        self.found: dict[str, Any] = {}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == SAVED_AT:
            self.found = {
                "step": trainer.global_step,
                "batch": batch_idx,
                "rng": generators(),
                "scale": self.plugin.scale,
                "growth": self.plugin.growth.tolist(),
                "rate": trainer.optimizers[0].param_groups[0]["lr"],
                "seen": pl_module.seen.tolist(),
            }

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.at:
            trainer.save_checkpoint(self.path)


def generators() -> str:
    """Return a digest of all random generators."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for name in sorted(value):
                add(value[name])
        elif isinstance(value, list):
            for part in value:
                add(part)
        else:
            found.update(repr(value.tolist() if isinstance(value, Tensor) else value).encode())

    add(capture_rng())
    return found.hexdigest()


def strategy(name: str, world: int, kind: str = "sharded") -> Strategy:
    """Return a strategy that saves in this way."""
    options: dict[str, Any] = {"state_dict_type": kind}
    if name == "fsdp":
        return FSDPStrategy(**options)
    if name == "zero":
        return DDPStrategy(zero_stage=1, **options)
    if name == "mesh":
        plan = {"enter": RowwiseParallel(input_layouts=Replicate())}
        return ModelParallelStrategy(tensor_parallel_size=2, plan=plan, save_distributed_checkpoint=kind == "sharded")
    if name == "fsdp-hybrid":
        mesh = (max(1, world // 2), min(2, world))
        return FSDPStrategy(sharding_strategy="HYBRID_SHARD", device_mesh=mesh, **options)
    return SingleDeviceStrategy(**options) if world == 1 else DDPStrategy(**options)


def make_trainer(folder: Path, world: int, chosen: Strategy, **options: Any) -> L.Trainer:
    quiet: dict[str, Any] = {
        "enable_checkpointing": False,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return L.Trainer(
        accelerator="cpu", devices=world, strategy=chosen, default_root_dir=folder, **(quiet | options)
    )  # fmt: skip


def loader(world: int) -> DataLoader[Any]:
    return DataLoader(Numbered(), batch_size=GLOBAL_BATCH // world, shuffle=True)


def train(folder: Path, world: int, name: str, *, kind: str, saves: Path, start: Path | None) -> dict[str, Any]:
    """Train to step END; return the losses, the samples and what was true after SAVED_AT.

    A fresh run saves after SAVED_AT, a resumed one at its end.
    """
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(11 if start is None else os.getpid())
    model, plugin = Model(), Scaled()
    watch = Watch(saves, SAVED_AT if start is None else END, plugin)
    trainer = make_trainer(
        folder, world, strategy(name, world, kind), max_steps=END, callbacks=[watch], plugins=[plugin]
    )
    trainer.fit(model, loader(world // 2 if name == "mesh" else world), ckpt_path=start)
    return {"losses": model.losses, "samples": model.samples, **watch.found}


def save_all(folder: Path, world: int, rank: int) -> dict[str, Any]:
    """Train under each strategy and save in the middle of an epoch."""
    found = {
        name: train(folder, world, name, kind="sharded", saves=folder / f"{name}-{world}.ckpt", start=None)
        for name in (*STRATEGIES, *(MORE if world > 1 else ()))
    }
    train(folder, world, "plain", kind="full", saves=folder / f"file-{world}.ckpt", start=None)
    return found


def load_all(folder: Path, world: int, rank: int, worlds: list[int], crossed: list[list[str]]) -> dict[str, Any]:
    """Go on from what every number of processes saved, under the same strategy and under others."""
    whole = DTensor.full_tensor
    if world > 1:  # no process may hold a whole tensor
        DTensor.full_tensor = _refused  # type: ignore[method-assign]
    pairs = [(name, f"{name}-{before}") for name in STRATEGIES for before in worlds]
    found = {}
    for name, source in [*pairs, *((one, other) for one, other in crossed)]:
        saves = folder / f"again-{world}-{name}-{source}.ckpt"
        found[f"{name} from {source}"] = train(
            folder, world, name, kind="sharded", saves=saves, start=folder / f"{source}.ckpt"
        )
    DTensor.full_tensor = whole  # type: ignore[method-assign]
    return found


def _refused(*_: Any, **__: Any) -> Any:
    raise AssertionError("a whole tensor was gathered")


def fail_all(folder: Path, world: int, rank: int) -> dict[str, Any]:
    """Let reading and writing fail in many ways; return what each process was told."""
    found: dict[str, Any] = {}

    def told(name: str, work: Callable[[], Any]) -> None:
        try:
            work()
        except (CheckpointError, MisconfigurationException) as error:
            found[name] = f"{type(error).__name__}: {error}"
        else:
            found[name] = "nothing went wrong"

    def fit(start: Path | str | None, width: int = 7, **options: Any) -> L.Trainer:
        trainer = make_trainer(folder, world, strategy("fsdp", world), **({"max_steps": 2} | options))
        trainer.fit(Model(width), loader(world), ckpt_path=start)
        return trainer

    trainer = fit(None)
    good = folder / "good.ckpt"
    trainer.save_checkpoint(good)
    trainer.save_checkpoint(folder / "weights.ckpt", weights_only=True)
    shares = {path.name: path.stat().st_size for path in good.glob("*.distcp")}
    found["shares"] = sorted(shares.items())
    model = trainer.lightning_module
    as_of_three = {"data_shares": 3, "taken_per_batch": 9}
    model.on_save_checkpoint = lambda checkpoint: checkpoint.update(as_of_three)  # type: ignore[method-assign]
    trainer.save_checkpoint(folder / "three.ckpt")
    del model.on_save_checkpoint
    told("another number of processes", lambda: fit(folder / "three.ckpt", max_steps=4))
    told("another model", lambda: fit(good, width=9))
    told("weights only", lambda: fit(folder / "weights.ckpt"))
    told("a bucket", lambda: trainer.save_checkpoint("memory://bucket/a.ckpt"))
    told("no such", lambda: fit(folder / "none.ckpt"))
    for kind in ("missing", "additional", "damaged", "half-written", "no manifest"):
        spoiled = folder / f"{kind}.ckpt"
        if rank == 0:
            spoil(good, spoiled, kind)
        trainer.strategy.barrier()
        told(kind, lambda spoiled=spoiled: fit(spoiled))  # type: ignore[misc]
    measure = manifest.measure

    def full(path: Path) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.name))

    for at in range(world):  # one process alone has no space left
        manifest.measure = full if rank == at else measure
        told(f"no space at {at}", lambda: trainer.save_checkpoint(good))
        manifest.measure = measure
    told("the good one", lambda: fit(good, max_steps=4))
    told("a foreign folder", lambda: trainer.save_checkpoint(folder / "foreign"))

    def in_background() -> None:
        saver = ModelCheckpoint(folder / "later", every_n_train_steps=1)
        later = make_trainer(folder, world, strategy("fsdp", world), max_steps=3, callbacks=[saver],
                             enable_checkpointing=True, plugins=AsyncCheckpointIO())  # fmt: skip
        later.fit(Model(), loader(world))

    told("in the background", in_background)
    found["kept later"] = sorted(path.name for path in (folder / "later").iterdir())
    manifest.measure = full if rank == world - 1 else measure
    told("no space in the background", in_background)
    manifest.measure = measure
    found["left"] = sorted(path.name for path in folder.glob(".tmp-*"))
    return found


def spoil(good: Path, spoiled: Path, kind: str) -> None:
    """Copy a folder, with something wrong."""
    spoiled.mkdir()
    for file in good.iterdir():
        (spoiled / file.name).write_bytes(file.read_bytes())
    if kind == "missing":
        next(spoiled.glob("__*")).unlink()
    elif kind == "additional":
        (spoiled / "more").write_bytes(b"more")
    elif kind == "damaged":
        last = max(spoiled.glob("__*"))
        data = bytearray(last.read_bytes())
        data[len(data) // 2] ^= 4
        last.write_bytes(data)
    elif kind == "half-written":
        (spoiled / "manifest.json").unlink()
        (spoiled / ".metadata").unlink()
    else:
        (spoiled / "manifest.json").unlink()


def train_on(folder: Path, world: int, rank: int, asynchronous: bool, steps: int) -> dict[str, Any]:
    """Go on from the last checkpoint to the end, saving after every step; killed at any time."""
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002 - as users' scripts do
    model = Model()
    saver = ModelCheckpoint(folder / "kept", every_n_train_steps=1, save_last=True)

    class Tell(L.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            (folder / f"progress-{rank}").write_text(str(trainer.global_step))

    trainer = make_trainer(
        folder,
        world,
        strategy("fsdp", world),
        max_steps=steps,
        callbacks=[Tell(), saver],
        enable_checkpointing=True,
        plugins=AsyncCheckpointIO() if asynchronous else None,
    )
    trainer.fit(model, loader(world), ckpt_path="last")
    weights = {name: (value.full_tensor() if isinstance(value, DTensor) else value).tolist()
               for name, value in model.state_dict().items()}  # fmt: skip
    return {"weights": weights, "step": trainer.global_step}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "save_all": save_all,
    "load_all": load_all,
    "fail_all": fail_all,
    "train_on": train_on,
}


def run(question: dict[str, Any]) -> int:
    """Do the task of a question in this process, one of several; leave the result in a file."""
    os.setsid()
    world, rank = question["world"], question["rank"]
    if world > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": question["port"]}
        os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    folder = Path(question["folder"])
    found = TASKS[question["task"]](folder=folder, world=world, rank=rank, **question.get("arguments", {}))
    (folder / f"{question['task']}-{world}-{rank}.json").write_text(json.dumps(found))
    return 0


def import_everything() -> None:
    """Import what saving and loading import, before anything is forked."""
    with tempfile.TemporaryDirectory() as place:
        trainer = make_trainer(Path(place), 1, SingleDeviceStrategy(state_dict_type="sharded"), max_steps=1)
        trainer.fit(Model(), loader(1))
        trainer.save_checkpoint(Path(place, "a.ckpt"))
        Model.load_from_checkpoint(Path(place, "a.ckpt"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    import_everything()
    serve(run)
