"""The Trainer: Lightning's flat arguments in, runs of a model out.

One class that users know by its arguments, longer than other files for their descriptions: what it does is
elsewhere, and its methods call that.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainer.arguments import check_other_arguments, defaults_from_environment
from trainer.callback import Callback
from trainer.callbacks.timer import Timer
from trainer.checkpoints.files import check_weights_only
from trainer.checkpoints.resume import write_checkpoint
from trainer.configuration.assembly import assemble_callbacks, assemble_loggers, list_callbacks
from trainer.configuration.options import (
    DataOptions,
    OptimisationOptions,
    ReportingOptions,
    ReproducibilityOptions,
    ValidationOptions,
    check_barebones,
    default_root,
    read_length,
    refuse,
)
from trainer.configuration.plugin_slots import Plugins
from trainer.configuration.readings import Readings
from trainer.data.combined_training import CombinedTrainLoader, is_combined
from trainer.data.loaders import TrainLoader
from trainer.data.sources import read_sources
from trainer.errors import SIGTERMException
from trainer.launching.placement import Placement
from trainer.loggers import Logger
from trainer.loops import runner, state
from trainer.loops.hooks import bind
from trainer.loops.state import RunningStage, RunState, StopFlags, TrainState
from trainer.metrics.store import MetricStore, Phase
from trainer.precision import NoInitialisation, default_dtype
from trainer.profilers.weave import choose_profiler, profiled
from trainer.seed import capture_rng
from trainer.strategies import Strategy
from trainer.tables import print_results
from trainer.types import EvalKind, PlainState

if TYPE_CHECKING:
    from trainer.accelerators import Accelerator
    from trainer.datamodule import LightningDataModule
    from trainer.module import LightningModule
    from trainer.plugins import CheckpointIO, LayerSync
    from trainer.plugins import Precision as PrecisionPlugin
    from trainer.profilers import Profiler

    Plugin = PrecisionPlugin | CheckpointIO | LayerSync


class Trainer(Readings):
    """Trains, validates, tests and predicts with a LightningModule.

    The keyword arguments are Lightning's; `trainer.arguments` lists what became of each. They are sorted into the
    frozen groups `length`, `validation`, `optimisation`, `reporting`, `reproducibility` and `data`, whose fields have
    the arguments' names, and checked at once.

    Args:
        accelerator: "cpu", "cuda" ("gpu"), or "auto" for a GPU where there is one.
        devices: how many, or which: 2, [0, 3], "0,3", -1 for all, or "auto".
        num_nodes: machines of the job.
        strategy: how several processes work together: "auto", "ddp" and the like, or a Strategy.
        precision: number format: "32-true", "64-true", "16-mixed", "bf16-mixed", "16-true" or "bf16-true".
        logger: one or several loggers; True or None is a CSVLogger, False none.
        callbacks: one or several callbacks, which run in this order; those that save checkpoints come last.
        fast_dev_run: try out everything with one batch, or this many, of each stage; nothing is kept.
        max_epochs: where to stop; -1 never. Without any limit 1000.
        min_epochs: do not stop before.
        max_steps: stop after so many optimizer steps; -1 never.
        min_steps: do not stop before.
        max_time: stop after this time: "DD:HH:MM:SS", a timedelta or its arguments.
        limit_train_batches: so many batches of an epoch (int), or this share of them (float).
        limit_val_batches: the same for validation; 0 turns it off.
        limit_test_batches: the same for tests.
        limit_predict_batches: the same for predictions.
        overfit_batches: train and validate with the same few batches, in order.
        val_check_interval: validate after this share of an epoch (float), so many batches (int), or this time.
        check_val_every_n_epoch: validate in every n-th epoch; None counts batches over epochs.
        num_sanity_val_steps: batches of validation before training (default 2); -1 all of them.
        log_every_n_steps: pass step values to loggers every so many steps (default 50).
        enable_checkpointing: have a ModelCheckpoint (default: yes).
        enable_progress_bar: show progress (default: yes).
        enable_model_summary: show the layers when a fit begins (default: yes).
        accumulate_grad_batches: batches of one optimizer step.
        gradient_clip_val: clip gradients to this size.
        gradient_clip_algorithm: "norm" clips all of them together, "value" each.
        deterministic: use deterministic algorithms; "warn" where there are such.
        benchmark: let cuDNN try out which algorithm is fastest.
        inference_mode: evaluate in torch's inference mode rather than without gradients only.
        use_distributed_sampler: split the data between processes.
        profiler: "simple", "advanced", "pytorch", or a Profiler.
        detect_anomaly: let autograd look for operations that make NaN; slow.
        plugins: a Precision, a CheckpointIO, a LayerSync of your own.
        sync_batchnorm: compute batch norms over all processes.
        barebones: turn off everything that costs time.
        enable_autolog_hparams: pass the hyperparameters to the loggers when a fit begins.
        reload_dataloaders_every_n_epochs: ask for the loaders again after so many epochs; 0 never.
        default_root_dir: where logs and checkpoints go (default: the current folder).
        others: arguments of Lightning that are refused unless they have their default.

    Raises:
        MisconfigurationException: a value, or a combination of values, cannot work.
        TypeError: an argument is unknown.
    """

    @defaults_from_environment
    def __init__(
        self,
        *,
        accelerator: Accelerator | str = "auto",
        devices: list[int] | str | int = "auto",
        num_nodes: int = 1,
        strategy: Strategy | str = "auto",
        precision: int | str | None = None,
        logger: bool | Logger | Sequence[Logger] | None = None,
        callbacks: Callback | Sequence[Callback] | None = None,
        fast_dev_run: int | bool = False,
        max_epochs: int | None = None,
        min_epochs: int | None = None,
        max_steps: int = -1,
        min_steps: int | None = None,
        max_time: str | timedelta | Mapping[str, int] | None = None,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        val_check_interval: int | float | str | timedelta | Mapping[str, int] | None = None,
        check_val_every_n_epoch: int | None = 1,
        num_sanity_val_steps: int | None = None,
        log_every_n_steps: int | None = None,
        enable_checkpointing: bool | None = None,
        enable_progress_bar: bool | None = None,
        enable_model_summary: bool | None = None,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
        deterministic: bool | Literal["warn"] | None = None,
        benchmark: bool | None = None,
        inference_mode: bool = True,
        use_distributed_sampler: bool = True,
        profiler: Profiler | str | None = None,
        detect_anomaly: bool = False,
        plugins: Plugin | Sequence[Plugin] | None = None,
        sync_batchnorm: bool = False,
        barebones: bool = False,
        enable_autolog_hparams: bool = True,
        reload_dataloaders_every_n_epochs: int = 0,
        default_root_dir: str | Path | None = None,
        **others: object,
    ) -> None:
        check_other_arguments(others, frozenset(inspect.signature(Trainer).parameters))
        if barebones:
            check_barebones(
                enable_checkpointing=enable_checkpointing,
                logger=logger,
                enable_progress_bar=enable_progress_bar,
                log_every_n_steps=log_every_n_steps,
                enable_model_summary=enable_model_summary,
                num_sanity_val_steps=num_sanity_val_steps,
                fast_dev_run=fast_dev_run,
                detect_anomaly=detect_anomaly,
                profiler=profiler,
            )
        given_callbacks = list_callbacks(callbacks)
        has_timer = max_time is not None or any(isinstance(callback, Timer) for callback in given_callbacks)
        overfit = overfit_batches if overfit_batches else 1.0
        given = (limit_train_batches, limit_val_batches, limit_test_batches, limit_predict_batches)
        defaults = (1.0, overfit, 1.0, 1.0)
        train, val, test, predict = (d if g is None else g for g, d in zip(given, defaults, strict=True))
        self.length = read_length(
            max_epochs=max_epochs,
            max_steps=max_steps,
            max_time=max_time,
            fast_dev_run=fast_dev_run,
            min_epochs=min_epochs,
            min_steps=min_steps,
            limits=(train, val, test, predict),
            overfit_batches=overfit_batches,
            has_timer=has_timer,
        )
        self._knows_epochs = max_epochs is not None or bool(self.length.fast_dev_run)
        sanity = (
            (0 if barebones or self.length.fast_dev_run else 2)
            if num_sanity_val_steps is None
            else num_sanity_val_steps
        )
        self.validation = ValidationOptions(
            val_check_interval=1.0 if val_check_interval is None or self.length.fast_dev_run else val_check_interval,
            check_val_every_n_epoch=check_val_every_n_epoch,
            num_sanity_val_steps=sanity,
        )
        self.optimisation = OptimisationOptions(
            accumulate_grad_batches=accumulate_grad_batches,
            gradient_clip_val=gradient_clip_val,
            gradient_clip_algorithm=gradient_clip_algorithm,
            detect_anomaly=detect_anomaly,
        )
        shows = not barebones
        self.reporting = ReportingOptions(
            log_every_n_steps=(50 if shows else 0) if log_every_n_steps is None else log_every_n_steps,
            default_root_dir=default_root(default_root_dir),
            enable_checkpointing=shows if enable_checkpointing is None else enable_checkpointing,
            enable_progress_bar=shows if enable_progress_bar is None else enable_progress_bar,
            enable_model_summary=shows if enable_model_summary is None else enable_model_summary,
            enable_autolog_hparams=enable_autolog_hparams,
            barebones=barebones,
        )
        self.reproducibility = ReproducibilityOptions(
            deterministic=deterministic, benchmark=benchmark, inference_mode=inference_mode
        )
        self.data = DataOptions(
            use_distributed_sampler=use_distributed_sampler,
            reload_dataloaders_every_n_epochs=reload_dataloaders_every_n_epochs,
        )
        self.plugins = Plugins()
        if plugins or sync_batchnorm:
            from trainer.plugins.selection import read_plugins

            self.plugins = read_plugins(plugins, sync_batchnorm=sync_batchnorm)
        self._place(accelerator, devices, num_nodes, strategy, precision)
        self.loggers = assemble_loggers(logger, self.reporting, enabled=shows, dummy=bool(self.length.fast_dev_run))
        self.callbacks = assemble_callbacks(given_callbacks, self.reporting, self.length)
        self.profiler = choose_profiler(profiler)
        self.metrics = MetricStore()
        self.train_state = TrainState()
        self.state = RunState()
        self.flags = StopFlags()
        self.optimizers: list[Optimizer] = []
        self.step_optimizers = []
        self.lr_scheduler_configs = []
        self.scaler: Any = None  # torch's GradScaler leaves `scale` untyped
        self.train_loader: TrainLoader | None = None
        self.evaluations = {}
        self.ckpt_path: str | None = None
        self._sources = None
        self._run_dir = None
        self._position: PlainState | None = None
        self._positions: list[PlainState | None] | None = None  # of processes started for the last run
        self._warned: set[str] = set()

    def _place(
        self,
        accelerator: str | Accelerator,
        devices: int | str | list[int],
        num_nodes: int,
        strategy: str | Strategy,
        precision: str | int | None,
    ) -> None:
        placement = Placement.chosen(
            accelerator, devices, num_nodes, strategy, precision, precision_plugin=self.plugins.precision
        )
        if self.plugins.layer_sync is not None:
            self.plugins.layer_sync.check_devices(placement.devices.kind, placement.world_size)
        self._placement = placement
        self.devices, self.num_nodes = placement.devices, num_nodes
        self.strategy, self.precision_options = placement.strategy, placement.precision

    def __getstate__(self) -> dict[str, Any]:
        # What belongs to a run, and is made anew by the next one, stays behind.
        made: dict[str, Any] = {"optimizers": [], "step_optimizers": [], "lr_scheduler_configs": [], "evaluations": {}}
        return {**self.__dict__, **made, "scaler": None, "train_loader": None}

    @property
    def spawns(self) -> bool:
        """Return whether a run starts processes of its own."""
        return self._placement.spawns

    # Runs

    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train `model` until a limit is reached.

        Args:
            model: what to train.
            train_dataloaders: an iterable of batches; or a data module.
            val_dataloaders: one or several iterables of batches.
            datamodule: where the data comes from, instead of loaders.
            ckpt_path: go on from this file, exactly as if the run had not been stopped. "last" takes the newest
                checkpoint in the folders of the checkpoint callbacks and starts fresh where there is none.
            weights_only: always true here: a checkpoint is read as plain data. False is refused.
        """
        check_weights_only(weights_only)
        self._take(model, datamodule, train=train_dataloaders, val=val_dataloaders)
        self._decide_length()
        runner.run_stage(self, "fit", _text(ckpt_path))

    def validate(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Run one pass of validation; return the metrics for each loader.

        Without a model, the one of the last run is taken, with its best checkpoint.
        """
        check_weights_only(weights_only)
        return self._evaluate("validation", model, dataloaders, ckpt_path, verbose, datamodule)

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Run one pass of testing; return the metrics for each loader. Arguments as for `validate`."""
        check_weights_only(weights_only)
        return self._evaluate("test", model, dataloaders, ckpt_path, verbose, datamodule)

    @overload
    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
        *,
        stream: Literal[False] = False,
    ) -> list[Any] | None: ...

    @overload
    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
        *,
        stream: Literal[True],
    ) -> Iterator[Any]: ...

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
        *,
        stream: bool = False,
    ) -> list[Any] | Iterator[Any] | None:
        """Predict every batch; return the predictions (a list for each loader where there are several).

        Args:
            model: as for `validate`.
            dataloaders: one or several iterables of batches; or a data module.
            datamodule: where the data comes from, instead of loaders.
            return_predictions: keep the predictions and return them (default); False leaves them to callbacks, and
                is the default where the strategy starts processes for each run (`ddp_spawn`): they stay there.
            ckpt_path: as for `fit`.
            weights_only: always true here.
            stream: return an iterator over the predictions of this process's batches, in the order of the loaders.
                Each is made when it is asked for and none is kept, so memory stays flat. The run begins with the
                first and ends with the last, or when the iterator is closed.
        """
        check_weights_only(weights_only)
        self._take(model, datamodule, predict=dataloaders)
        if self.strategy.start_method != "popen" and (return_predictions or stream):
            refuse(
                "return_predictions",
                "stream=True" if stream else True,
                "None or False with a strategy that starts processes for each run",
                "Write them with a BasePredictionWriter, or pass strategy='ddp'.",
            )
        path = self._default_checkpoint(model, ckpt_path)
        if stream:
            return runner.stream_predictions(self, path)
        if return_predictions is None:
            return_predictions = self.strategy.start_method == "popen"
        outputs = runner.run_stage(self, "predict", path, keeps_outputs=return_predictions)
        if not return_predictions or outputs is None:
            return None
        return outputs[0] if len(outputs) == 1 else outputs  # type: ignore[no-any-return]  # the user's outputs

    def _evaluate(
        self,
        kind: Literal["validation", "test"],
        model: LightningModule | None,
        dataloaders: Any,
        ckpt_path: str | Path | None,
        verbose: bool,
        datamodule: LightningDataModule | None,
    ) -> list[dict[str, float]]:
        self._take(model, datamodule, **{"val" if kind == "validation" else "test": dataloaders})
        path = self._default_checkpoint(model, ckpt_path)
        stage: Literal["validate", "test"] = "validate" if kind == "validation" else "test"
        results: list[dict[str, float]] = runner.run_stage(self, stage, path)
        if verbose and self.is_global_zero:
            print_results(kind, results)
        return results

    def _take(self, model: LightningModule | None, datamodule: LightningDataModule | None, **loaders: Any) -> None:
        before = self._sources
        self._sources = read_sources(model, datamodule, loaders, before)
        if before is not None and before.module is not self._sources.module:
            self._position = self._positions = None

    def _decide_length(self) -> None:
        """Settle the limits that were left open."""
        self._knows_epochs = True
        if self.length.min_epochs is None:
            self.length = replace(self.length, min_epochs=int(self.length.min_steps is not None))

    def _default_checkpoint(self, model: LightningModule | None, ckpt_path: str | Path | None) -> str | None:
        if ckpt_path is None and model is None:
            return "best"
        return _text(ckpt_path)

    # Data

    def eval_limit(self, kind: EvalKind) -> tuple[float, str]:
        """Return the limit of batches of a stage, and the name of its argument."""
        name = "limit_val_batches" if kind == "validation" else f"limit_{kind}_batches"
        return getattr(self.length, name), name

    def make_train_loader(self) -> TrainLoader:
        """Ask for the training loader and prepare it for this process."""
        given = self.sources.loader("train")
        if given is None:
            self.sources.refuse_missing("train")
        limit, name = self.length.train_limit
        kind = CombinedTrainLoader if is_combined(given) else TrainLoader
        self.train_loader = kind(
            given,
            self.strategy,
            limit=limit,
            limit_name=name,
            splits=self.data.use_distributed_sampler,
            in_order=self.length.overfit_batches > 0,
        )
        return self.train_loader

    @property
    def estimated_stepping_batches(self) -> float:
        """Return the optimizer steps of the whole fit; usable in `configure_optimizers`. Infinite without a limit."""
        if self.length.max_epochs == -1:
            return self.steps_in(float("inf"))
        loader = self.train_loader if self.train_loader is not None else self.make_train_loader()
        return self.steps_in(loader.num_batches if loader.length else 0)

    def take_position(self) -> PlainState | None:
        """Return where the last fit of this trainer stopped inside an epoch, None where it did not."""
        position, self._position = self._position, None
        self.train_loader = None
        return position

    def keep_position(self) -> None:
        """Remember where this fit stopped, if inside an epoch."""
        if self.train_state.batches_done and self.train_loader is not None:
            self._position = {**self.train_loader.state_dict(), "rng": capture_rng()}

    # Services to loops, callbacks and modules

    def save_checkpoint(
        self, filepath: str | Path, weights_only: bool | None = None, storage_options: object = None
    ) -> None:
        """Write a checkpoint of the current run; all processes call it, rank zero writes.

        Args:
            filepath: the file, replaced only when the new one is whole.
            weights_only: leave out what only a resume needs (default: keep it).
            storage_options: passed to the checkpoint plugin; only plugins of the user's know any.

        Raises:
            AttributeError: the trainer has no model yet.
        """
        if self._sources is None:
            raise AttributeError(
                "Saving a checkpoint needs a model, and this trainer has none. Call `fit`, `validate`, `test` or "
                "`predict` first."
            )
        if storage_options is not None and self.plugins.checkpoint_io is None:
            raise TypeError(
                f"Files take no storage options. Got {storage_options!r}; expected None. Pass a CheckpointIO of your "
                "own as a plugin of the trainer."
            )
        write = profiled(self, "save_checkpoint", write_checkpoint)
        write(self, filepath, bool(weights_only), storage_options)

    def log_step_values(self, phase: Phase, step: int) -> None:
        """Pass the newest step values to the loggers."""
        if self.metrics.has_step_values(phase) or (phase == "train" and self.strategy.is_distributed):
            self.log_values(self.metrics.step_values(phase, self.strategy), step)

    def log_values(self, values: Mapping[str, float], step: int) -> None:
        """Pass numbers to the loggers, with the epoch."""
        if values and self.is_global_zero:
            row = {"epoch": float(self.current_epoch), **values}
            for logger in self.loggers:
                logger.log_metrics(row, int(row.pop("step", step)))

    def save_loggers(self) -> None:
        """Let the loggers write what they hold."""
        if self.is_global_zero:
            for logger in self.loggers:
                logger.save()

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Build what is built inside the block on this process's device, and in the dtype of `precision`.

        Args:
            empty_init: leave the weights uninitialised, where a checkpoint is loaded into them anyway. Under a strategy
                that splits the model its parts get their storage, and their values, after they are split.
        """
        device = self._placement.device
        if empty_init and self.strategy.defers:
            device, empty_init = torch.device("meta"), False
        dtype = self.precision_options.parameters
        with contextlib.ExitStack() as stack:
            stack.enter_context(device)
            if dtype is not None:
                stack.enter_context(default_dtype(dtype))
            if empty_init:
                stack.enter_context(NoInitialisation())
            yield

    def enter_stage(self, stage: RunningStage) -> None:
        """Say which kind of batches run from now on."""
        self.state.stage = stage

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run a backward pass of manual optimisation."""
        module, plugin = self.lightning_module, self.precision_options.plugin
        if plugin is not None:
            scaled = plugin.pre_backward(loss, module)
            plugin.backward(scaled, module, None, *args, **kwargs)
            plugin.post_backward(scaled, module)
        else:
            for hook in bind(self, "on_before_backward"):
                hook(loss)
            module.backward(loss if self.scaler is None else self.scaler.scale(loss), *args, **kwargs)
            for hook in bind(self, "on_after_backward"):
                hook()
        if self.strategy.is_distributed:
            self.strategy.average_gradients([p for p in module.parameters() if p.requires_grad])

    def raise_if_terminated(self) -> None:
        """Raise SIGTERMException if the process was asked to end."""
        if self.flags.has(StopFlags.SIGTERM):
            raise SIGTERMException()

    def print(self, *values: object, **options: Any) -> None:
        """Print on rank zero only, without breaking a progress bar."""
        if self.is_global_zero:
            bar = self.progress_bar_callback
            (print if bar is None else bar.print)(*values, **options)

    def warn_once(self, message: str) -> None:
        """Warn, each message once for this trainer, on rank zero."""
        if message not in self._warned and self.is_global_zero:
            self._warned.add(message)
            warnings.warn(message, stacklevel=2)


# Lightning keeps these in a package of this file's name.
sys.modules[f"{__name__}.states"] = state
sys.modules[f"{__name__}.trainer"] = sys.modules[__name__]


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
