"""What several processes do for test_model_parallel.py, one case after the other: `mp_jobs.py FOLDER CASE ...`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.utils.data import DataLoader

import trainer as L
from tests.trainer.strategies.parity_jobs import BATCHES, DEVICES, GLOBAL_BATCH, Model, data
from tests.trainer.strategies.parity_mp import CLASSES, FEEDS, HEADS, Feeds
from trainer.fabric import Fabric
from trainer.strategies import FSDPStrategy, ModelParallelStrategy, Strategy
from trainer.utilities import grad_norm

TENSOR = min(2, DEVICES)


def make(folder: Path, strategy: Strategy | str, **options: Any) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu", devices=DEVICES, strategy=strategy if DEVICES > 1 else "auto", logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
        default_root_dir=folder, **({"max_epochs": 2} | options),
    )  # fmt: skip


def loader(shares: int) -> DataLoader[Any]:
    return DataLoader(data(GLOBAL_BATCH * BATCHES), batch_size=GLOBAL_BATCH // shares, shuffle=True)


def shares_of(strategy: Strategy) -> int:
    if DEVICES == 1:
        return 1
    return DEVICES // TENSOR if isinstance(strategy, ModelParallelStrategy) else DEVICES


# Fabric


class Held(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Feeds()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out

    def size(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x).abs().mean()
        return out


def fabric_run(folder: Path, strategy: Strategy, *, joint: bool, deferred: bool = False) -> dict[str, Any]:
    """Accumulate over two batches, clip, save in the middle, and go on from the file in other objects."""
    L.seed_everything(3, verbose=False)
    fabric = Fabric(accelerator="cpu", devices=DEVICES, strategy=strategy if DEVICES > 1 else "auto")
    fabric.launch()

    def build() -> Any:
        with fabric.init_module(empty_init=deferred and DEVICES > 1):
            model = Held()
        if joint:
            return fabric.setup(model, torch.optim.Adam(model.parameters(), lr=0.02))
        wrapped = fabric.setup_module(model)
        return wrapped, fabric.setup_optimizers(torch.optim.Adam(wrapped.parameters(), lr=0.02))

    model, optimizer = build()
    batches = fabric.setup_dataloaders(loader(shares_of(strategy)))
    losses, norms = [], []

    def epoch(model: Any, optimizer: Any) -> None:
        for index, (x, y) in enumerate(batches):
            closes = index % 2 == 1
            with fabric.no_backward_sync(model, enabled=not closes):
                loss = nn.functional.mse_loss(model(x), y)
                fabric.backward(loss / 2)
            if closes:
                norm = fabric.clip_gradients(model, optimizer, max_norm=0.1)
                assert norm is not None
                norms.append(norm.item())
                optimizer.step()
                optimizer.zero_grad()
            losses.append(fabric.all_reduce(loss.detach().clone()).item())

    epoch(model, optimizer)
    path = folder / "fabric.ckpt"
    fabric.save(path, {"model": model, "optimizer": optimizer, "step": 10})
    rng = torch.get_rng_state()
    epoch(model, optimizer)
    straight = losses[10:]
    del losses[10:]
    model, optimizer = build()
    state = {"model": model, "optimizer": optimizer, "step": 0}
    fabric.load(path, state)
    torch.set_rng_state(rng)  # the order of the next epoch
    epoch(model, optimizer)
    model.eval()
    model.mark_forward_method("size")
    with torch.no_grad():
        size = fabric.all_reduce(model.size(data(16).tensors[0])).item()
    weights = torch.load(path, weights_only=True)["model"]
    return {
        "losses": losses,
        "norms": norms,
        "went_on": losses[10:] == straight,
        "step": state["step"],
        "size": size,
        "weights": {name: value.flatten().tolist() for name, value in weights.items()},
        "gathered": list(fabric.all_gather(torch.ones(3)).shape),
    }


def fabric_fsdp(folder: Path) -> Any:
    return fabric_run(folder, FSDPStrategy(), joint=False)


def fabric_fsdp_joint(folder: Path) -> Any:
    return fabric_run(folder, FSDPStrategy(), joint=True)


def fabric_fsdp_deferred(folder: Path) -> Any:
    return fabric_run(folder, FSDPStrategy(), joint=False, deferred=True)


def fabric_tensor(folder: Path) -> Any:
    return fabric_run(folder, ModelParallelStrategy(tensor_parallel_size=TENSOR, plan=FEEDS), joint=False)


def fabric_tensor_joint(folder: Path) -> Any:
    return fabric_run(folder, ModelParallelStrategy(tensor_parallel_size=TENSOR, plan=FEEDS), joint=True)


# Lightning's way


class Configured(Model):
    """Splits itself in `configure_model`, as in Lightning."""

    def __init__(self, how: str) -> None:
        super().__init__("feeds", "adam")
        self.how = how
        self.norms: list[float] = []

    def configure_model(self) -> None:
        if DEVICES == 1 or any(isinstance(parameter, DTensor) for parameter in self.parameters()):
            return
        assert self.device_mesh.mesh_dim_names == ("data_parallel", "tensor_parallel")
        if self.how != "sharded":
            for block in self.net.blocks:
                styles: Any = {"up": ColwiseParallel(), "down": RowwiseParallel()}
                parallelize_module(block, self.device_mesh["tensor_parallel"], styles)
        if self.how != "tensor" and self.device_mesh["data_parallel"].size() > 1:
            for block in self.net.blocks:
                fully_shard(block, mesh=self.device_mesh["data_parallel"])
            if self.how == "sharded":
                fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Tell what kinds of parameters there are."""
        self.kinds = sorted({type(parameter).__name__ for parameter in self.parameters()})
        self.norms.append(float(grad_norm(self, 2)["grad_2.0_norm_total"]))


def configured(folder: Path) -> Any:
    found = {}
    for how in ("tensor", "both", "sharded"):
        L.seed_everything(3, verbose=False)
        model = Configured(how)
        sizes: dict[str, Any] = {"tensor_parallel_size": 1 if how == "sharded" else TENSOR}
        strategy = ModelParallelStrategy(**sizes)
        trainer = make(folder, strategy, gradient_clip_val=0.5)
        shares = 1 if DEVICES == 1 else DEVICES // sizes["tensor_parallel_size"]
        trainer.fit(model, loader(shares), DataLoader(data(13), batch_size=3))
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        found[how] = {"losses": model.losses, "metrics": metrics, "kinds": model.kinds, "norms": model.norms}
    return found


# Memory


class Wide(L.LightningModule):
    """Measures what a step leaves in this process: parameters, gradients and the optimizer's state."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        self.bytes = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters())

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        optimizer.step(closure=optimizer_closure)
        held = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
        tensors = [*self.parameters(), *(p.grad for p in self.parameters() if p.grad is not None), *held]
        self.bytes = sum(_local(tensor).numel() * tensor.element_size() for tensor in tensors)


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def memory(folder: Path) -> Any:
    model = Wide()
    make(folder, FSDPStrategy(), max_steps=3, max_epochs=1).fit(model, loader(DEVICES))
    return {"bytes": model.bytes}


# Checkpoints into models without storage


def late_weights(folder: Path) -> Any:
    """A model on the meta device is evaluated with the weights of a file."""
    L.seed_everything(3, verbose=False)
    first, path = Model("normalised", "adam"), folder / "first.ckpt"
    trainer = make(folder, FSDPStrategy())
    trainer.fit(first, loader(DEVICES), DataLoader(data(13), batch_size=3))
    trainer.save_checkpoint(path)
    check = DataLoader(data(13), batch_size=3)
    there = trainer.validate(first, check, verbose=False)
    late = Model("normalised", "adam", deferred=True)
    was_meta: list[bool] = []
    found = make(folder, FSDPStrategy()).validate(late, check, ckpt_path=path, verbose=False)
    was_meta += [parameter.is_meta for parameter in late.parameters()]
    return {"there": there, "found": found, "is_meta": any(was_meta)}


# What cannot be


class Tied(Model):
    def __init__(self) -> None:
        super().__init__("tied", "sgd")


class Stranger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.zeros(3))


class Unfilled(Model):
    def configure_model(self) -> None:
        with torch.device("meta"):
            self.net = Stranger()


def refusals(folder: Path) -> Any:
    """Return the error of each case on this process."""
    two: dict[str, Any] = {"tensor_parallel_size": 2}
    cases: dict[str, Callable[[], tuple[Strategy, L.LightningModule]]] = {
        "sizes": lambda: (ModelParallelStrategy(3, 1, plan=FEEDS), Model("feeds", "adam")),
        "width": lambda: (ModelParallelStrategy(plan={"net.leave": ColwiseParallel()}, **two), Model("feeds", "adam")),
        "heads": lambda: (ModelParallelStrategy(plan=HEADS, **two), _odd_heads()),
        "another": lambda: (ModelParallelStrategy(plan=CLASSES, **two), Model("feeds", "adam")),
        "recurrent": lambda: (
            ModelParallelStrategy(plan={"net.lstm": ColwiseParallel()}, **two), Model("recurrent", "sgd"),
        ),
        "twice": lambda: (
            ModelParallelStrategy(plan=FEEDS | {"net.blocks.0.up": ColwiseParallel()}, **two), Model("feeds", "adam"),
        ),
        "tied": lambda: (ModelParallelStrategy(plan={"net.first": ColwiseParallel()}, **two), Tied()),
        "nothing": lambda: (ModelParallelStrategy(**two), Wide()),
        "no plan": lambda: (ModelParallelStrategy(plan={"net": "colwise"}, **two), Model("feeds", "adam")),  # type: ignore[dict-item]
        "nccl": lambda: (ModelParallelStrategy(process_group_backend="nccl", plan=FEEDS), Model("feeds", "adam")),
        "unfilled": lambda: (FSDPStrategy(), Unfilled("tied", "sgd")),
        "copies": lambda: (FSDPStrategy(sharding_strategy="HYBRID_SHARD", device_mesh=(2, 2)), Model("tied", "sgd")),
    }  # fmt: skip
    found = {}
    for name, case in cases.items():
        strategy, model = case()
        try:
            make(folder, strategy).fit(model, loader(1))
        except (ValueError, RuntimeError, TypeError) as error:
            found[name] = [type(error).__name__, str(error)]
    return found


def _odd_heads() -> Model:
    model = Model("heads", "sgd")
    model.net.heads = 3
    return model


def wrong_plan(folder: Path) -> None:
    make(folder, ModelParallelStrategy(plan=CLASSES)).fit(Model("feeds", "adam"), loader(1))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in sys.argv[2:]:
        results[name] = globals()[name](place)
        (place / f"rank-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(results))
