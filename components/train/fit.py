"""Fits an application's model with the trainer, from the last checkpoint where there is one."""

import csv
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import torch

import trainer as tr
from components.app import Application
from components.config import make_config
from components.errors import TrainingFailedError
from components.train.agreement import Agreement
from components.train.job import HISTORY_FILE, MODEL_FILE, Job, Result
from trainer.callbacks import EarlyStopping, ModelCheckpoint
from trainer.errors import SIGTERMException


def fit(job: Job) -> Result:
    """Train, then leave `model.ckpt` (the best epoch's weights and hyperparameters), `history.csv` and `result.json`.

    The model says what is monitored: `monitor` and `monitor_mode` of the application's LightningModule.
    """
    application: Application = importlib.import_module(f"{job.package}.app").APP
    config = make_config(application.part(application.train_config), job.config, source="the job's configuration")
    folder = Path(job.folder)
    torch.set_num_threads(config.threads)
    tr.seed_everything(config.seed, verbose=False)
    data = application.part(application.data).for_training(Path(job.dataset), config)
    model = application.part(application.model).for_training(Path(job.dataset), config)
    checkpoint = ModelCheckpoint(
        dirpath=folder / "checkpoints",
        filename="best",
        monitor=model.monitor,
        mode=model.monitor_mode,
        save_top_k=1,
        save_last=True,
        enable_version_counter=False,
    )
    history = History(model.monitor, config.max_epochs)
    callbacks: list[tr.Callback] = [
        Agreement(job),
        history,
        checkpoint,
        SaveOnNotice(folder / "checkpoints" / "last.ckpt"),
    ]
    if config.patience:
        callbacks.append(EarlyStopping(monitor=model.monitor, mode=model.monitor_mode, patience=config.patience))
    # Whoever launched this process knows how many there are now: machines may have joined or left.
    devices, nodes = (
        int(os.environ.get(name, usual))
        for name, usual in (("LOCAL_WORLD_SIZE", config.devices), ("GROUP_WORLD_SIZE", 1))
    )
    fitter = tr.Trainer(
        accelerator=config.accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if devices * nodes > 1 else "auto",
        precision=config.precision,
        max_epochs=config.max_epochs,
        gradient_clip_val=config.gradient_clip_val or None,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # an application's loaders take their rank's share themselves
        default_root_dir=folder,
    )
    if fitter.is_global_zero and (folder / "checkpoints" / "last.ckpt").exists():
        sys.stdout.write("going on from the last checkpoint\n")
        sys.stdout.flush()
    fitter.fit(model, datamodule=data, ckpt_path="last")
    score = checkpoint.best_model_score
    if score is None:
        raise TrainingFailedError(
            f"Training ended after {len(history.rows)} epochs without a value of {model.monitor}. Give more validation "
            "students (preprocess.valid_share)."
        )
    best = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)
    result = Result(
        epochs=len(history.rows),
        optimizer_steps=fitter.global_step,
        parameters=sum(p.numel() for p in model.parameters()),
        best_metric=model.monitor,
        best_value=float(score),
    )
    if fitter.is_global_zero:
        _write_model(folder / MODEL_FILE, best)
        history.write(folder / HISTORY_FILE)
        result.write(folder)
    return result


class SaveOnNotice(tr.Callback):
    """Saves when the processes are asked to end: all have done the same batches, and the run goes on with the next.

    Args:
        path: of the newest checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_exception(self, trainer: tr.Trainer, pl_module: tr.LightningModule, exception: BaseException) -> None:
        """Save after SIGTERM."""
        if not isinstance(exception, SIGTERMException) or not trainer.global_step:
            return
        if exception.is_common or not trainer.strategy.is_distributed:
            trainer.save_checkpoint(self.path)


class History(tr.Callback):
    """Keeps each epoch's metrics (through resumes), and prints one line of progress per epoch."""

    def __init__(self, monitor: str, max_epochs: int) -> None:
        self.monitor = monitor
        self.max_epochs = max_epochs
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: tr.Trainer, pl_module: tr.LightningModule) -> None:
        """Note the epoch's metrics."""
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        self.rows.append({"epoch": float(trainer.current_epoch + 1), **metrics})
        if trainer.is_global_zero:
            shown = metrics.get(self.monitor, float("nan"))
            sys.stdout.write(
                f"epoch {trainer.current_epoch + 1} of at most {self.max_epochs}: {self.monitor} {shown:.4f}\n"
            )
            sys.stdout.flush()

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the rows of a checkpoint."""
        self.rows = [dict(row) for row in state_dict["rows"]]

    def write(self, path: Path) -> None:
        """Write the rows as CSV."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(self.rows)


def _write_model(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write what a release needs of a checkpoint; optimizer state and counters of the run stay behind."""
    kept = ("state_dict", "hyper_parameters", "hparams_name", "pytorch-lightning_version")
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        torch.save({name: checkpoint[name] for name in kept if name in checkpoint}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
