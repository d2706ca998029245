"""A training with everything that a resume can get wrong, run until it ends or is killed."""

from __future__ import annotations

import mmap
import os
import random
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanAbsoluteError

import trainer as L
from trainer.callbacks import EMAWeightAveraging, ModelCheckpoint

EPOCHS, BATCHES, BATCH_SIZE = 4, 15, 4
TOTAL = EPOCHS * BATCHES
PROGRESS = struct.Struct("<q1s")
"""Batches done, and what goes on: s a step, v validation, c a checkpoint."""


class Augmented(Dataset[Any]):
    """Samples that come out differently each time, by every generator there is."""

    def __init__(self, samples: int) -> None:
        self.features = torch.randn(samples, 6, generator=torch.Generator().manual_seed(5))

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        features = self.features[index]
        noisy = features + 0.1 * torch.randn(6)
        noisy = noisy * float(1 + 0.1 * np.random.standard_normal())  # noqa: NPY002 - as users' datasets do
        return noisy.flip(0) if random.random() < 0.5 else noisy, features.sum().reshape(1)


class Model(L.LightningModule):
    def __init__(self, optimizer: str, batch_norm: bool) -> None:
        super().__init__()
        self.save_hyperparameters()
        norm = nn.BatchNorm1d(8) if batch_norm else nn.Identity()
        self.net = nn.Sequential(nn.Linear(6, 8), norm, nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))
        self.error = MeanAbsoluteError()
        self.val_error = MeanAbsoluteError()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        predicted = self.net(batch[0])
        loss = functional.mse_loss(predicted, batch[1])
        self.error(predicted, batch[1])
        self.log("error", self.error, on_step=False, on_epoch=True)
        self.log("loss", loss, on_step=True, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        predicted = self.net(batch[0])
        self.val_error(predicted, batch[1])
        self.log("val_error", self.val_error)
        self.log("val_loss", functional.mse_loss(predicted, batch[1]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimizer: torch.optim.Optimizer
        if self.hparams["optimizer"] == "sgd":
            optimizer = torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.9, nesterov=True)
        else:
            optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 11)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class History(L.Callback):
    """Keeps what each epoch ended with, over resumes."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        # The newest loss is each process's own, and the state of callbacks is that of rank zero.
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name != "loss_step"}
        self.epochs.append(metrics)

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]


class Watch(L.Callback):
    """Tells the killer what goes on, and saves with windows open too: after every third batch."""

    def __init__(self, folder: Path, rank: int) -> None:
        self.path = folder / "often.ckpt"
        with open(folder / f"progress-{rank}", "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), PROGRESS.size)

    def tell(self, trainer: Any, what: bytes) -> None:
        self.shared[:] = PROGRESS.pack(trainer.train_state.total_batches, what)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.tell(trainer, b"s")

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.tell(trainer, b"v")

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        self.tell(trainer, b"c")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.train_state.total_batches % 3 == 0:
            trainer.save_checkpoint(self.path)


def newest(folder: Path) -> Path | None:
    found = [path for path in (folder / "often.ckpt", folder / "kept" / "last.ckpt") if path.exists()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def run(folder: Path, workers: int, rank: int, processes: int, port: int) -> None:
    """Train to the end, from the newest checkpoint in the folder where there is one."""
    if processes > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.manual_seed(3)
    random.seed(4)
    np.random.seed(5)  # noqa: NPY002 - as users' scripts do
    model = Model("sgd" if workers else "adam", batch_norm=processes == 1)
    start = newest(folder)
    if start is not None:  # as in a new process that nobody seeded
        for generator in (torch.manual_seed, random.seed, np.random.seed):
            generator(os.getpid())
    history = History()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=processes,
        max_epochs=EPOCHS,
        accumulate_grad_batches=4,
        gradient_clip_val=0.5,
        val_check_interval=5,
        callbacks=[
            EMAWeightAveraging(decay=0.9),
            history,
            Watch(folder, rank),
            ModelCheckpoint(
                folder / "kept", monitor="loss_step", save_top_k=2, save_last=True, every_n_train_steps=2
            ),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )  # fmt: skip
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    train = DataLoader(Augmented(BATCHES * BATCH_SIZE * processes), BATCH_SIZE, shuffle=True, **options)
    val = DataLoader(Augmented(8 * processes), BATCH_SIZE, **options)
    trainer.fit(model, train, val, ckpt_path=start)
    final = {
        "weights": model.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict()["state"],
        "rates": trainer.lr_scheduler_configs[0].scheduler.state_dict()["_last_lr"],
        "epochs": history.epochs,
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
        "steps": trainer.global_step,
    }
    torch.save(final, folder / f"final-{rank}.pt")
