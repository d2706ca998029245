"""A script whose runs start processes of their own: `python spawn_jobs.py JOB FOLDER STRATEGY`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

import trainer as L
from tests.trainer.models import LoggingRegression, regression_loader
from trainer.errors import SIGTERMException


class Watching(L.Callback):
    """Keeps what it saw, and the trainer."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.trainer: L.Trainer | None = None
        self.lock: Any = None

    def on_train_batch_end(self, trainer: L.Trainer, *arguments: Any) -> None:
        self.seen.append(trainer.global_step)
        self.trainer = trainer
        self.lock = threading.Lock()  # cannot come back


def fit_and_test(folder: Path, strategy: str, devices: int = 2) -> dict[str, Any]:
    """Fit and test; return what this process has afterwards."""
    torch.manual_seed(3)
    watching = Watching()
    saving = L.callbacks.ModelCheckpoint(folder / "checkpoints", monitor="val_loss", filename="{epoch}")
    trainer = L.Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, logger=L.loggers.CSVLogger(folder), max_epochs=2,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[saving, watching], log_every_n_steps=1,
    )  # fmt: skip
    model = LoggingRegression()
    trainer.fit(model, regression_loader(32, 8 // devices, shuffle=True), regression_loader(13, 3))
    assert saving.best_model_score is not None
    return {
        "weights": [value for parameter in model.parameters() for value in parameter.flatten().tolist()],
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
        "logged": sorted(trainer.logged_metrics),
        "best": str(Path(saving.best_model_path).relative_to(folder)),
        "score": float(saving.best_model_score),
        "steps": [trainer.global_step, trainer.current_epoch],
        "state": [str(trainer.state.status), trainer.state.fn, trainer.should_stop],
        "seen": watching.seen,
        "is_own": watching.trainer is trainer,
        "log_dir": str(Path(trainer.log_dir or "").relative_to(folder)),
        "tested": trainer.test(ckpt_path="best", dataloaders=regression_loader(13, 3), verbose=False),
    }


def train(folder: Path, strategy: str) -> None:
    """Write what `fit_and_test` found."""
    (folder / "found.json").write_text(json.dumps(fit_and_test(folder, strategy)))


def double(fabric: L.Fabric, number: int) -> dict[str, Any]:
    """Return something from each process."""
    total = fabric.all_reduce(torch.tensor(float(fabric.global_rank + number)), reduce_op="sum")
    return {"total": total, "rank": fabric.global_rank, "device": fabric.device}


class Ending(LoggingRegression):
    """Lets the first process be asked to end."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 3 and self.global_rank == 0:
            os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(0.02)
        return super().training_step(batch, batch_idx)


def terminate(folder: Path, strategy: str) -> None:
    """Be asked to end in the middle of a fit."""
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy=strategy, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, max_epochs=2000,
    )  # fmt: skip
    try:
        trainer.fit(Ending(), regression_loader())
    except SIGTERMException:
        (folder / "ended").touch()
        raise


if __name__ == "__main__":
    torch.set_num_threads(1)
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
