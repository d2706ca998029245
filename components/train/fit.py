"""Fits an application's model: with the trainer, from the last checkpoint where there is one, or at once."""

import csv
import importlib
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch

import trainer as tr
from components.app import Application
from components.config import make_config
from components.errors import ConfigError, TrainingFailedError
from components.mitigation.postprocess import Postprocessed, sentence_of, write_postprocess
from components.train.agreement import Agreement
from components.train.estimator import Estimator
from components.train.job import HISTORY_FILE, MODEL_FILE, Job, Result
from trainer.callbacks import EarlyStopping, ModelCheckpoint
from trainer.errors import SIGTERMException


def fit(job: Job) -> Result:
    """Train, then leave `model.ckpt` (the best epoch's weights and hyperparameters), `history.csv` and `result.json`.

    The application's model class says by `for_training` how: a LightningModule is trained, and names what is monitored
    (`monitor`, `monitor_mode`); an Estimator fits itself. A Postprocessed module's post-processor is fitted at last, to
    the best epoch's weights.

    Raises:
        TrainingFailedError: there is no value of what is monitored, or an estimator's is no number; or the application
            cannot be imported here.
    """
    application = _application(job.package)
    config = make_config(application.part(application.train_config), job.config, source="the job's configuration")
    folder = Path(job.folder)
    torch.set_num_threads(config.threads)
    tr.seed_everything(config.seed, verbose=False)
    model = application.part(application.model).for_training(Path(job.dataset), config)
    check_postprocess(model, config)
    if isinstance(model, Estimator):
        return _estimated(model, job)
    data = application.part(application.data).for_training(Path(job.dataset), config)
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
        accumulate_grad_batches=config.accumulate_grad_batches,
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
        _say("going on from the last checkpoint")
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
        if isinstance(model, Postprocessed) and model.is_postprocessed:
            best["state_dict"] = _postprocessed(application, job, config, Path(checkpoint.best_model_path))
        _write_model(folder / MODEL_FILE, best)
        history.write(folder / HISTORY_FILE)
        result.write(folder)
    return result


def check_postprocess(model: object, config: Any) -> None:  # Any: the application's training configuration
    """Refuse a post-processor that the configuration asks for and the model knows nothing of.

    Raises:
        ConfigError: an application of one's own, begun before there was this kind, would go without it unsaid.
    """
    kind = getattr(getattr(config, "postprocess", None), "kind", "none")
    if kind != "none" and not (isinstance(model, Postprocessed) and model.is_postprocessed):
        raise ConfigError(
            f"train.postprocess.kind is {kind!r}, which {type(model).__name__} does not know of; expected a model that "
            "maps its answers so. Set kind to 'none', or take the model of a newer homeroom as an example."
        )


def _application(package: str) -> Application:
    try:
        found: Application = importlib.import_module(f"{package}.app").APP
    except ModuleNotFoundError as error:
        if error.name not in {package, package.partition(".")[0]}:
            raise
        raise TrainingFailedError(
            f"This training process cannot import the application's package {package!r}, though the process that asked "
            f"for it could; expected it in the environment of {sys.executable}. Install the application's project "
            "there, on every machine: pip install --no-deps -e PROJECT."
        ) from error
    return found


def _postprocessed(application: Application, job: Job, config: Any, best: Path) -> dict[str, Any]:
    """Return the best epoch's state with the post-processor fitted on the validation split, and leave what is told."""
    model = application.part(application.model).load_from_checkpoint(best, map_location="cpu").eval()
    data = application.part(application.data).for_training(Path(job.dataset), config)  # of no trainer: all batches
    told = model.fit_postprocessor(data.val_dataloader())
    write_postprocess(Path(job.folder), told)
    _say(sentence_of(told))
    state: dict[str, Any] = model.state_dict()
    return state


def _estimated(model: Estimator, job: Job) -> Result:
    fitted, folder = model.estimate(Path(job.dataset), _say), Path(job.folder)
    value = float(fitted.metrics[fitted.best_metric])
    if not math.isfinite(value):
        raise TrainingFailedError(
            f"Fitting ended with {fitted.best_metric} = {value} on the validation split; expected a number. Give more "
            "validation data (preprocess.valid_share)."
        )
    history = History(fitted.best_metric, max_epochs=1)
    history.rows.append({"epoch": 1.0, **{name: float(one) for name, one in sorted(fitted.metrics.items())}})
    _say(f"fitted: {fitted.best_metric} {value:.4f}")
    module = fitted.module
    _write_model(folder / MODEL_FILE, {"state_dict": module.state_dict(), **module.hyperparameter_state()})
    history.write(folder / HISTORY_FILE)
    result = Result(
        epochs=1,
        optimizer_steps=0,
        parameters=sum(tensor.numel() for tensor in module.state_dict().values()),
        best_metric=fitted.best_metric,
        best_value=value,
    )
    result.write(folder)
    return result


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


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
            _say(f"epoch {trainer.current_epoch + 1} of at most {self.max_epochs}: {self.monitor} {shown:.4f}")

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
