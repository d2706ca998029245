"""What a trainer tells about its run: read-only properties."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainer.accelerators import Accelerator, Devices
from trainer.callback import Callback
from trainer.callbacks.checkpoint import Checkpoint
from trainer.callbacks.early_stopping import EarlyStopping
from trainer.callbacks.gradient_accumulation_scheduler import GradientAccumulationScheduler
from trainer.callbacks.progress import ProgressBar
from trainer.configuration.settings import Settings
from trainer.data.sources import Sources
from trainer.loggers import Logger
from trainer.loops.hooks import is_overridden
from trainer.loops.state import RunningStage, RunState, Status, StopFlags, TrainState
from trainer.loops.views import FitLoopView
from trainer.metrics.store import MetricStore
from trainer.optimization.optimizers import LRSchedulerConfig
from trainer.precision import Precision
from trainer.profilers.profiler import Profiler
from trainer.strategies import Strategy

if TYPE_CHECKING:
    from trainer.data.loaders import TrainLoader
    from trainer.datamodule import LightningDataModule
    from trainer.loops.evaluation import EvaluationLoop
    from trainer.module import LightningModule
    from trainer.optimization.manual import LightningOptimizer
    from trainer.plugins.precision import Precision as PrecisionPlugin
    from trainer.trainer import Trainer


class Readings(Settings):
    """The properties of a trainer. They read its parts and change nothing but `should_stop`."""

    callbacks: list[Callback]
    loggers: list[Logger]
    strategy: Strategy
    devices: Devices
    precision_options: Precision
    profiler: Profiler
    metrics: MetricStore
    train_state: TrainState
    state: RunState
    flags: StopFlags
    scaler: Any
    optimizers: list[Optimizer]
    step_optimizers: list[LightningOptimizer]
    lr_scheduler_configs: list[LRSchedulerConfig]
    train_loader: TrainLoader | None
    evaluations: dict[str, EvaluationLoop]
    _sources: Sources | None
    _run_dir: str | None

    # Progress

    @property
    def global_step(self) -> int:
        """Return the number of optimizer steps, over all optimizers."""
        return self.train_state.global_step

    @property
    def current_epoch(self) -> int:
        """Return the index of the current epoch."""
        return self.train_state.epoch

    @property
    def is_last_batch(self) -> bool:
        """Return whether the current training batch, or the one done last, is the last of its epoch."""
        return self.state.is_last_batch

    @property
    def should_stop(self) -> bool:
        """Return whether a stop was asked for; set it to True to ask."""
        return self.flags.has(StopFlags.REQUESTED)

    @should_stop.setter
    def should_stop(self, stop: bool) -> None:
        if stop:
            self.flags.raise_flag(StopFlags.REQUESTED)
        else:
            self.flags.lower_flag(StopFlags.REQUESTED)

    @property
    def received_sigterm(self) -> bool:
        """Return whether the process was asked to end."""
        return self.flags.has(StopFlags.SIGTERM)

    @property
    def interrupted(self) -> bool:
        """Return whether the last run ended by an exception or an interrupt."""
        return self.state.status is Status.INTERRUPTED

    # Stage

    @property
    def is_fitting(self) -> bool:
        """Return whether `fit` is running, validation inside it included."""
        return self.state.fn == "fit" and self.state.stage is not None

    @property
    def training(self) -> bool:
        """Return whether training batches run."""
        return self.state.stage is RunningStage.TRAINING

    @training.setter
    def training(self, on: bool) -> None:
        self._set_stage(RunningStage.TRAINING, on)

    @property
    def validating(self) -> bool:
        """Return whether validation batches run."""
        return self.state.stage is RunningStage.VALIDATING

    @validating.setter
    def validating(self, on: bool) -> None:
        self._set_stage(RunningStage.VALIDATING, on)

    @property
    def testing(self) -> bool:
        """Return whether test batches run."""
        return self.state.stage is RunningStage.TESTING

    @testing.setter
    def testing(self, on: bool) -> None:
        self._set_stage(RunningStage.TESTING, on)

    @property
    def predicting(self) -> bool:
        """Return whether batches are predicted."""
        return self.state.stage is RunningStage.PREDICTING

    @predicting.setter
    def predicting(self, on: bool) -> None:
        self._set_stage(RunningStage.PREDICTING, on)

    @property
    def sanity_checking(self) -> bool:
        """Return whether the validation ahead of training runs."""
        return self.state.stage is RunningStage.SANITY_CHECKING

    @sanity_checking.setter
    def sanity_checking(self, on: bool) -> None:
        self._set_stage(RunningStage.SANITY_CHECKING, on)

    is_sanity_checking = sanity_checking

    def _set_stage(self, stage: RunningStage, on: bool) -> None:
        if on:
            self.state.stage = stage
        elif self.state.stage is stage:
            self.state.stage = None

    @property
    def evaluating(self) -> bool:
        """Return whether validation or test batches run."""
        return self.validating or self.testing

    # Metrics

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        """Return the newest value of every metric."""
        return self.metrics.callback_metrics

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        """Return the newest value of every metric that went to the loggers."""
        return self.metrics.logged_metrics

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """Return what the progress bar shows; reads the device."""
        return self.metrics.progress_bar_metrics

    # Parts

    @property
    def lightning_module(self) -> LightningModule:
        """Return the model of the current or last run, None before."""
        return cast("LightningModule", None if self._sources is None else self._sources.module)  # there is one in runs

    model = lightning_module

    @property
    def datamodule(self) -> LightningDataModule | None:
        """Return the data module of the current or last run."""
        return None if self._sources is None else self._sources.datamodule

    @property
    def sources(self) -> Sources:
        """Return whom the current or last run asks for model and data."""
        if self._sources is None:
            raise RuntimeError("This trainer has no model yet. Call `fit`, `validate`, `test` or `predict` first.")
        return self._sources

    @property
    def logger(self) -> Logger | None:
        """Return the first logger; setting one, or None, replaces them all."""
        return self.loggers[0] if self.loggers else None

    @logger.setter
    def logger(self, logger: Logger | None) -> None:
        self.loggers = [] if logger is None else [logger]

    @property
    def log_dir(self) -> str | None:
        """Return the folder of this run's logs, the same on all processes."""
        if self._run_dir is not None:
            return self._run_dir
        return self.logger.log_dir if self.logger is not None else self.default_root_dir

    @property
    def checkpoint_callbacks(self) -> list[Checkpoint]:
        """Return the checkpoint callbacks."""
        return [callback for callback in self.callbacks if isinstance(callback, Checkpoint)]

    @property
    def checkpoint_callback(self) -> Checkpoint | None:
        """Return the first checkpoint callback."""
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def early_stopping_callbacks(self) -> list[EarlyStopping]:
        """Return the early stopping callbacks."""
        return [callback for callback in self.callbacks if isinstance(callback, EarlyStopping)]

    @property
    def early_stopping_callback(self) -> EarlyStopping | None:
        """Return the first early stopping callback."""
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def progress_bar_callback(self) -> ProgressBar | None:
        """Return the progress display."""
        return next((callback for callback in self.callbacks if isinstance(callback, ProgressBar)), None)

    @property
    def precision(self) -> str:
        """Return the name of the number format."""
        return self.precision_options.name

    @property
    def precision_plugin(self) -> PrecisionPlugin:
        """Return the number format as a plugin: the user's own, or one like it."""
        own = self.precision_options.plugin
        if own is not None:
            return own
        from trainer.plugins import precision as plugins

        name: Any = self.precision_options.name
        if name.endswith("-mixed"):
            return plugins.MixedPrecision(name, self.devices.kind, self.scaler)
        if name == "64-true":
            return plugins.DoublePrecision()
        return plugins.Precision() if name == "32-true" else plugins.HalfPrecision(name)

    # Processes

    @property
    def accelerator(self) -> Accelerator:
        """Return what knows the kind of device."""
        return self.devices.accelerator

    @property
    def device(self) -> torch.device:
        """Return the device of this process."""
        return self.strategy.device

    @property
    def is_global_zero(self) -> bool:
        """Return whether this process is the one that writes and prints."""
        return self.strategy.environment.rank == 0

    @property
    def global_rank(self) -> int:
        """Return the rank of this process over all machines."""
        return self.strategy.environment.rank

    @property
    def local_rank(self) -> int:
        """Return the rank of this process on this machine."""
        return self.strategy.environment.local_rank

    @property
    def node_rank(self) -> int:
        """Return the index of this machine."""
        return self.strategy.environment.node_rank

    @property
    def world_size(self) -> int:
        """Return the number of processes over all machines."""
        return self.strategy.environment.world_size

    @property
    def num_devices(self) -> int:
        """Return the processes of this run on this machine."""
        return self.devices.count

    @property
    def device_ids(self) -> list[int]:
        """Return the indices of this machine's devices that the run uses."""
        return list(self.devices.indices)

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int] | None:
        """Return this process's part of the data, as a DistributedSampler's arguments; None for one process."""
        if not self.strategy.is_distributed:
            return None
        rank, replicas = self.strategy.data_share
        return {"num_replicas": replicas, "rank": rank}

    # Loops

    @property
    def fit_loop(self) -> FitLoopView:
        """Return the epochs of the fit, under the names of Lightning's loop."""
        return FitLoopView(cast("Trainer", self))

    def _loop(self, kind: str) -> EvaluationLoop:
        if kind not in self.evaluations:
            raise RuntimeError(f"This trainer has run no {kind} yet, so there is no loop to look at. Run it first.")
        return self.evaluations[kind]

    @property
    def validate_loop(self) -> EvaluationLoop:
        """Return the loop of the current or last validation."""
        return self._loop("validation")

    @property
    def test_loop(self) -> EvaluationLoop:
        """Return the loop of the current or last test."""
        return self._loop("test")

    @property
    def predict_loop(self) -> EvaluationLoop:
        """Return the loop of the current or last prediction."""
        return self._loop("predict")

    # Data

    @property
    def train_dataloader(self) -> Any:  # the user's own loader
        """Return the training loader, None before it was asked for."""
        return None if self.train_loader is None else self.train_loader.given

    @property
    def num_training_batches(self) -> float:
        """Return the training batches of an epoch on this process, `math.inf` where not known."""
        return math.inf if self.train_loader is None else self.train_loader.num_batches

    def _eval_batches(self, kind: str) -> list[float]:
        return self.evaluations[kind].num_batches if kind in self.evaluations else []

    def _eval_loaders(self, kind: str) -> Any:  # the user's own loaders
        return self.evaluations[kind].given if kind in self.evaluations else None

    @property
    def val_dataloaders(self) -> Any:  # the user's own loaders
        """Return the validation loaders as they were given, None before they were asked for."""
        return self._eval_loaders("validation")

    @property
    def test_dataloaders(self) -> Any:  # the user's own loaders
        """Return the test loaders as they were given, None before they were asked for."""
        return self._eval_loaders("test")

    @property
    def predict_dataloaders(self) -> Any:  # the user's own loaders
        """Return the loaders of batches to predict as they were given, None before they were asked for."""
        return self._eval_loaders("predict")

    @property
    def num_sanity_val_batches(self) -> list[float]:
        """Return the validation batches of each loader that run ahead of training."""
        return [min(self.num_sanity_val_steps, batches) for batches in self.num_val_batches]

    @property
    def num_val_batches(self) -> list[float]:
        """Return the validation batches of each loader."""
        return self._eval_batches("validation")

    @property
    def num_test_batches(self) -> list[float]:
        """Return the test batches of each loader."""
        return self._eval_batches("test")

    @property
    def num_predict_batches(self) -> list[float]:
        """Return the batches to predict of each loader."""
        return self._eval_batches("predict")

    @property
    def val_check_batch(self) -> float | None:
        """Return after how many batches validation runs, `math.inf` at the end of a loader without length."""
        if self.train_loader is None or self.validation.seconds_between is not None:
            return None
        between = self.validation.batches_between(self.num_training_batches)
        return self.num_training_batches if math.isinf(between) else between

    @property
    def enable_validation(self) -> bool:
        """Return whether a fit of the current or last model validates."""
        if self._sources is None:
            return False
        from trainer.module import LightningModule

        written = is_overridden("validation_step", self.sources.module, LightningModule)
        return written and self.sources.has("val") and self.limit_val_batches > 0

    @property
    def has_validation(self) -> bool:
        """Return whether this fit validates."""
        return self.is_fitting and sum(self.num_val_batches) > 0

    def steps_in(self, batches_per_epoch: float) -> float:
        """Return the optimizer steps of a whole fit with so many batches in an epoch, `math.inf` without a limit."""
        max_steps = math.inf if self.max_steps == -1 else self.max_steps
        if self.length.max_epochs == -1 or math.isinf(batches_per_epoch):
            return max_steps
        return min(max_steps, sum(math.ceil(batches_per_epoch / size) for size in self._window_sizes()))

    def _window_sizes(self) -> list[int]:
        """Return the batches of an optimizer step in each epoch of the whole fit."""
        scheduler = next((c for c in self.callbacks if isinstance(c, GradientAccumulationScheduler)), None)
        if scheduler is None:
            return [self.accumulate_grad_batches] * self.length.max_epochs
        return [scheduler.get_accumulate_grad_batches(epoch) for epoch in range(self.length.max_epochs)]
