"""Scripts that the distributed tests run in several processes: `python ddp_jobs.py JOB[,JOB...] FOLDER`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

import trainer as L
from tests.trainer.models import LoggingRegression, regression_data, regression_loader

DEVICES = int(os.environ.get("JOB_DEVICES", "2"))


def make(folder: Path, **options: Any) -> L.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": DEVICES,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": folder,
        "max_epochs": 2,
        "log_every_n_steps": 1,
    }
    return L.Trainer(**(defaults | options))


class Recording(LoggingRegression):
    """Keeps the loss over the global batch of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.losses.append(self.all_gather(loss.detach()).mean().item())
        self.log("train_loss", loss, on_step=True, on_epoch=True, sync_dist=True)
        return loss


def write(folder: Path, trainer: L.Trainer, **results: Any) -> None:
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    place = folder / f"rank-{trainer.global_rank}.json"
    place.write_text(json.dumps({"world_size": trainer.world_size, "metrics": metrics, **results}))


def batch_size() -> int:
    return 8 // DEVICES


def train(folder: Path, **options: Any) -> None:
    torch.manual_seed(3)
    model, trainer = Recording(), make(folder, **options)
    trainer.fit(model, regression_loader(32, batch_size(), shuffle=True), regression_loader(13, 3))
    results = trainer.validate(model, regression_loader(13, 3), verbose=False)
    weights = [value for parameter in model.parameters() for value in parameter.flatten().tolist()]
    write(folder, trainer, losses=model.losses, weights=weights, validated=results)


def accumulate(folder: Path) -> None:
    train(folder, accumulate_grad_batches=3)


def manual(folder: Path) -> None:
    class Manual(Recording):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = self.loss(batch)
            self.losses.append(self.all_gather(loss.detach()).mean().item())
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            return loss

    torch.manual_seed(3)
    model, trainer = Manual(), make(folder)
    trainer.fit(model, regression_loader(32, batch_size(), shuffle=True))
    write(folder, trainer, losses=model.losses)


def fail(folder: Path) -> None:
    class Failing(Recording):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            if self.global_rank == 1 and batch_idx == 1:
                raise ZeroDivisionError("rank one divides by zero")
            return super().training_step(batch, batch_idx)

    make(folder).fit(Failing(), regression_loader(32, 4))


def fail_outside(folder: Path) -> None:
    if os.environ.get("RANK") == "1":
        raise ZeroDivisionError("rank one fails before it connects")
    make(folder).fit(Recording(), regression_loader(32, 4))


def fail_first(folder: Path) -> None:
    class Failing(Recording):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            if self.global_rank == 0:
                raise ZeroDivisionError("rank zero divides by zero")
            time.sleep(120)
            return super().training_step(batch, batch_idx)

    (folder / f"pid-{os.environ.get('RANK', '0')}").write_text(str(os.getpid()))
    make(folder).fit(Failing(), regression_loader(32, 4))


def uneven(folder: Path) -> None:
    samples = 32 if os.environ.get("RANK") == "1" else 24
    make(folder, use_distributed_sampler=False).fit(Recording(), regression_loader(samples, 4))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        count = 24 if os.environ.get("RANK") == "1" else 32
        return iter([regression_data(32)[index] for index in range(count)])


def uneven_stream(folder: Path) -> None:
    make(folder).fit(Recording(), DataLoader(Stream(), batch_size=4))


class CountingMetric:
    """A metric object without an exchange of its own."""

    def __init__(self) -> None:
        self.reset()

    def compute(self) -> float:
        return self.count

    def reset(self) -> None:
        self.count = 0.0


def lonely_validation(folder: Path) -> None:
    """One validation sample for two processes: the second has no batch, and still takes part in everything."""
    hooks: list[str] = []

    class Watching(Recording):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.loss(batch), on_step=True, on_epoch=True, sync_dist=True, prog_bar=True)

        def on_validation_epoch_end(self) -> None:
            hooks.append("epoch_end")
            self.log("seen", 1.0, reduce_fx="sum")

    stopping = L.callbacks.EarlyStopping("val_loss", patience=5)
    saving = L.callbacks.ModelCheckpoint(folder / "checkpoints", monitor="val_loss", filename="{epoch}")
    trainer = make(folder, callbacks=[stopping, saving], enable_checkpointing=True)
    model = Watching()
    trainer.fit(model, regression_loader(8, 4), regression_loader(1, 1))
    expected = model.loss(next(iter(regression_loader(1, 1)))).item()
    write(folder, trainer, hooks=hooks, expected=expected, bar=sorted(trainer.progress_bar_metrics))


def lonely_object(folder: Path) -> None:
    """The same with a metric object, whose own exchange the process without a batch would miss."""

    class Watching(Recording):
        def __init__(self) -> None:
            super().__init__()
            self.counting = CountingMetric()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("count", self.counting)

    make(folder).validate(Watching(), regression_loader(1, 1))


def own_split(folder: Path) -> None:
    """Loaders that split themselves, with every warning an error."""

    class Part(IterableDataset[Any]):
        def __iter__(self) -> Any:
            data = regression_data(16)
            rank = int(os.environ["RANK"])
            yield from (data[index] for index in range(rank, 16, 2))

    warnings.simplefilter("error")
    trainer, model = make(folder, use_distributed_sampler=False), Recording()
    trainer.fit(model, DataLoader(Part(), batch_size=4), DataLoader(Part(), batch_size=4))
    write(folder, trainer, losses=model.losses)


def resume(folder: Path) -> None:
    class Dropping(Recording):
        def __init__(self) -> None:
            super().__init__()
            self.net[2] = torch.nn.Dropout(0.5)

    def fit(steps: int, ckpt_path: Any = None) -> tuple[L.Trainer, Recording]:
        torch.manual_seed(100 + int(os.environ.get("RANK", "0")) + (50 if ckpt_path else 0))
        model, trainer = Dropping(), make(folder, max_epochs=None, max_steps=steps)
        trainer.fit(model, regression_loader(32, 4, shuffle=True), ckpt_path=ckpt_path)
        return trainer, model

    _, straight = fit(10)
    trainer, _ = fit(7)
    trainer.save_checkpoint(folder / "seven.ckpt")
    trainer, resumed = fit(10, folder / "seven.ckpt")
    pairs = zip(straight.parameters(), resumed.parameters(), strict=True)
    write(folder, trainer, equal=[torch.equal(one, other) for one, other in pairs])


def lonely(folder: Path) -> None:
    class Lonely(Recording):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            if self.global_rank == 1 and batch_idx == 1:
                self.log("rare", float(batch_idx + 6), on_step=True, sync_dist=True)
            return self.loss(batch)

    rows: list[dict[str, float]] = []

    class Rows(L.loggers.Logger):
        name = version = "rows"

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            rows.append(dict(metrics))

        def log_hyperparams(self, params: Any) -> None:
            pass

    trainer = make(folder, max_epochs=1, logger=Rows())
    trainer.fit(Lonely(), regression_loader(24, 4))
    write(folder, trainer, rare=[row["rare"] for row in rows if "rare" in row])


def terminate(folder: Path) -> None:
    class Slow(Recording):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            if self.global_step == 2 and self.global_rank == 1:
                os.kill(os.getppid() if DEVICES == 2 else os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
            return super().training_step(batch, batch_idx)

    class Note(L.Callback):
        def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
            (folder / f"ended-{trainer.global_rank}").write_text(f"{type(exception).__name__} {trainer.global_step}")

    make(folder, max_epochs=50, callbacks=Note()).fit(Slow(), regression_loader(32, 4))


def main() -> None:
    torch.set_num_threads(1)
    for job in sys.argv[1].split(","):
        folder = Path(sys.argv[2]) / job
        folder.mkdir(exist_ok=True)
        with warnings.catch_warnings():
            globals()[job](folder)


if __name__ == "__main__":
    main()
