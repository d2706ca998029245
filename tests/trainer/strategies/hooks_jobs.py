"""Split optimizers and bad input, many cases in one start of processes: `torchrun hooks_jobs.py FOLDER JOB ...`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

import trainer as L
from tests.trainer.strategies.parity_jobs import BATCHES, DEVICES, GLOBAL_BATCH, Model, data
from trainer.callbacks import EMAWeightAveraging
from trainer.checkpoints.sharded.reading import Folder
from trainer.strategies import DDPStrategy, FSDPStrategy, Strategy

RANK = int(os.environ.get("RANK", "0"))


def make(folder: Path, strategy: str | Strategy, epochs: int = 1, **options: Any) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu", devices=DEVICES, strategy=strategy if DEVICES > 1 else "auto", max_epochs=epochs,
        logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        num_sanity_val_steps=0, default_root_dir=folder, **options,
    )  # fmt: skip


def loader() -> DataLoader[Any]:
    return DataLoader(data(GLOBAL_BATCH * BATCHES), batch_size=GLOBAL_BATCH // DEVICES, shuffle=True)


def fit(
    folder: Path, strategy: str | Strategy, epochs: int, start: Path | None = None, model: Model | None = None
) -> tuple[L.Trainer, Model]:
    L.seed_everything(3, verbose=False)
    model = model or Model("blocks", "groups")
    trainer = make(folder, strategy, epochs, callbacks=[EMAWeightAveraging(decay=0.8)])
    trainer.fit(model, loader(), ckpt_path=start)
    return trainer, model


def weights(model: nn.Module) -> list[float]:
    return [value for parameter in model.parameters() for value in parameter.flatten().tolist()]


def state_bytes(optimizer: Optimizer) -> int:
    values = [v for held in optimizer.state.values() for v in held.values() if isinstance(v, Tensor) and v.dim()]
    return sum(value.numel() * value.element_size() for value in values)


def first(folder: Path) -> dict[str, Any]:
    """Train one epoch and leave a checkpoint."""
    trainer, model = fit(folder, DDPStrategy(zero_stage=1), 1)
    optimizer = trainer.optimizers[0]
    trainer.save_checkpoint(folder / ("alone.ckpt" if DEVICES == 1 else "first.ckpt"))
    return {"losses": model.losses, "bytes": state_bytes(optimizer), "kind": type(optimizer).__name__}


def resume(folder: Path) -> dict[str, Any]:
    """Go on from checkpoints of this and other numbers of processes, with and without a split optimizer."""
    found = {}
    starts = [path for path in (folder / "first.ckpt", folder / "alone.ckpt") if path.exists()]
    for start in starts:
        for name, strategy in {"zero": DDPStrategy(zero_stage=1), "plain": DDPStrategy()}.items():
            _, model = fit(folder, strategy, 2, start)
            found[f"{start.stem}/{name}"] = {"losses": model.losses, "weights": weights(model)}
    return found


def folders(folder: Path) -> dict[str, Any]:
    """Save a folder and go on from it: no process holds or reads the optimizer state of another."""

    def zero() -> DDPStrategy:
        return DDPStrategy(zero_stage=1, state_dict_type="sharded")

    trainer, _ = fit(folder, zero(), 1)
    own = state_bytes(trainer.optimizers[0])
    state = trainer.strategy.optimizer_state(trainer.optimizers[0], with_values=False)["state"]
    values = [value for held in state.values() for value in held.values() if isinstance(value, Tensor) and value.dim()]
    trainer.save_checkpoint(folder / "zero.ckpt")
    read: dict[str, int] = {}
    before = Folder.read

    def noted(self: Folder, targets: Mapping[str, Tensor]) -> None:
        read.update({key: value.numel() * value.element_size() for key, value in targets.items()})
        before(self, targets)

    Folder.read = noted  # type: ignore[method-assign]  # the same arguments
    _, model = fit(folder, zero(), 2, folder / "zero.ckpt")
    Folder.read = before  # type: ignore[method-assign]  # as it was
    return {
        "own": own,
        "held": sum(value.numel() * value.element_size() for value in values if not value.is_meta),
        "elsewhere": sum(value.is_meta for value in values),
        "read": sum(size for key, size in read.items() if key.startswith("optimizer_states")),
        "weights": weights(model),
        "unsplit": weights(fit(folder, DDPStrategy(), 2, folder / "zero.ckpt")[1]),
    }


class Manual(Model):
    """Two optimizers, one of which makes its state at once, and a closure."""

    def __init__(self) -> None:
        super().__init__("blocks", "adam")
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        for optimizer in self.optimizers():

            def closure(of: Any = optimizer) -> Tensor:
                of.zero_grad()
                loss = self.loss(batch)
                self.manual_backward(loss)
                return loss

            optimizer.step(closure)
        self.losses.append(self.all_gather(self.loss(batch).detach()).mean().item())

    def configure_optimizers(self) -> Any:
        named = dict(self.net.named_parameters())
        blocks = [parameter for name, parameter in named.items() if name.startswith("blocks")]
        others = [parameter for name, parameter in named.items() if not name.startswith("blocks")]
        return [torch.optim.Adagrad(blocks, lr=0.05), torch.optim.RMSprop(others, lr=0.01, momentum=0.5)]


def manual(folder: Path) -> dict[str, Any]:
    L.seed_everything(3, verbose=False)
    model = Manual()
    trainer = make(folder, DDPStrategy(zero_stage=1))
    trainer.fit(model, loader())
    trainer.save_checkpoint(folder / f"manual-{DEVICES}.ckpt")
    return {"losses": model.losses, "weights": weights(model), "bytes": [state_bytes(o) for o in trainer.optimizers]}


def fabric(folder: Path) -> dict[str, Any]:
    """A loop of one's own: the file holds the whole state, and loading takes this process's share of it."""
    with_zero = L.Fabric(
        accelerator="cpu", devices=DEVICES, strategy=DDPStrategy(zero_stage=1) if DEVICES > 1 else "auto"
    )
    with_zero.launch()
    torch.manual_seed(3)
    net = Model("blocks", "adam").net
    model, optimizer = with_zero.setup(net, torch.optim.Adam(net.parameters(), lr=0.02))
    x, y = data(GLOBAL_BATCH).tensors
    mine = slice(RANK * GLOBAL_BATCH // DEVICES, (RANK + 1) * GLOBAL_BATCH // DEVICES)
    path = folder / f"fabric-{DEVICES}.pt"
    losses = []
    for index in range(6):
        if index == 3:
            with_zero.save(path, {"model": model, "optimizer": optimizer})
            for parameter in net.parameters():
                nn.init.zeros_(parameter)
            optimizer.optimizer.state.clear()
            with_zero.load(path, {"model": model, "optimizer": optimizer})
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x[mine]), y[mine])
        with_zero.backward(loss)
        with_zero.clip_gradients(model, optimizer, max_norm=0.1)
        optimizer.step()
        losses.append(with_zero.all_reduce(loss.detach()).item())
    return {"losses": losses, "bytes": state_bytes(optimizer.optimizer), "weights": weights(net)}


class OwnZero(Model):
    """Splits the optimizer itself, as one does under Lightning."""

    def configure_optimizers(self) -> Any:
        from torch.distributed.optim import ZeroRedundancyOptimizer

        if DEVICES == 1:
            return super().configure_optimizers()
        return ZeroRedundancyOptimizer(self.parameters(), optimizer_class=torch.optim.Adam, lr=0.02)


def own_zero(folder: Path) -> dict[str, Any]:
    path = folder / "own.ckpt"
    trainer, _ = fit(folder, "ddp", 1, model=OwnZero("blocks", "adam"))
    trainer.save_checkpoint(path)
    _, model = fit(folder, "ddp", 2, path, OwnZero("blocks", "adam"))
    return {"losses": model.losses, "weights": weights(model)}


# Bad input


class Wider(Model):
    """Another width, another type and a missing layer on rank one."""

    def __init__(self) -> None:
        super().__init__("blocks", "adam")
        if RANK == 1:
            self.net.leave = nn.Linear(12, 2)
            self.net.enter = nn.Linear(6, 12, dtype=torch.float64)
        else:
            self.extra = nn.Linear(1, 1)


class Batched(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 2), nn.BatchNorm1d(2))


def fabric_wider(folder: Path) -> None:
    many = L.Fabric(accelerator="cpu", devices=DEVICES, strategy="ddp")
    many.launch()
    many.setup(nn.Linear(2 + RANK, 1))


def lbfgs(folder: Path) -> None:
    class Model_(Model):
        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters())

    make(folder, DDPStrategy(zero_stage=1)).fit(Model_("blocks", "adam"), loader())


def wider(folder: Path) -> None:
    make(folder, "ddp").fit(Wider(), loader())


def unplain(folder: Path) -> None:
    """Save a split state with something on rank one that no checkpoint may hold."""
    trainer, _ = fit(folder, DDPStrategy(zero_stage=1), 1)
    if RANK == 1:
        next(iter(trainer.optimizers[0].state.values()))["made_in"] = folder
    trainer.save_checkpoint(folder / "unplain.ckpt")


def refused(folder: Path) -> dict[str, Any]:
    """Return the error of each bad input; every process has to get one, and nobody may wait."""
    tries: dict[str, Callable[[], object]] = {
        "ddp": lambda: wider(folder),
        "fsdp": lambda: make(folder, FSDPStrategy()).fit(Wider(), loader()),
        "fabric": lambda: fabric_wider(folder),
        "lbfgs": lambda: lbfgs(folder),
        "unplain": lambda: unplain(folder),
        "nccl": lambda: make(folder, DDPStrategy(process_group_backend="nccl")),
        "sync_batchnorm": lambda: make(folder, "ddp", sync_batchnorm=True),
    }
    found = {}
    for name, run in tries.items():
        try:
            run()
        except Exception as error:
            found[name] = [type(error).__name__, str(error)]
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    results = {name: globals()[name](place) for name in sys.argv[2:]}
    (place / f"{DEVICES}-rank-{RANK}.json").write_text(json.dumps(results))
