"""LightningModule: a torch module that knows its own steps, losses and optimizers.

One class that users derive from, longer than other files for the descriptions of its methods; hooks, hyperparameters
and exports are in classes of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.checkpoints.files import check_weights_only
from trainer.data.hooks import DataHooks
from trainer.data.transfer import map_tensors, tensors_from_numbers
from trainer.errors import MisconfigurationException
from trainer.model.hyperparameters import HyperparametersMixin, read_for_building, read_hyperparameters
from trainer.model.module_fabric import FabricInTrainersPlace, log_through
from trainer.model.module_hooks import ModuleHooks
from trainer.optimization.clipping import check_clipping, clip_gradients
from trainer.optimization.optimizers import default_scheduler_step
from trainer.types import StepOutput

if TYPE_CHECKING:
    from io import BytesIO

    from trainer.callback import Callback
    from trainer.fabric import Fabric
    from trainer.loggers import Logger
    from trainer.optimization.manual import LightningOptimizer
    from trainer.trainer import Trainer


class LightningModule(ModuleHooks, DataHooks, HyperparametersMixin, nn.Module):
    """A model with its training. Subclasses write `training_step` and `configure_optimizers`, and what else they need.

    Attributes:
        automatic_optimization: the trainer runs backward and the optimizer; False leaves both to `training_step`.
        example_input_array: an input for `forward`, for summaries and exports.
        strict_loading: loading refuses missing or unexpected weights.
    """

    example_input_array: Any = None  # whatever `forward` takes
    strict_loading: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.automatic_optimization = True
        self._trainer: Trainer | None = None
        self._fabric: Fabric | None = None
        self._fabric_optimizers: list[Any] = []
        self._toggled: dict[nn.Parameter, bool] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles are of the model; the run stays behind.
        return {**self.__dict__, "_trainer": None, "_toggled": {}, "_fabric": None, "_fabric_optimizers": []}

    # What a subclass writes

    def training_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Return the loss of one batch, or a dict with "loss", or None to skip the batch.

        Write it with the arguments `batch` or `batch, batch_idx`.
        """
        raise MisconfigurationException(f"{type(self).__name__} has no `training_step`. Write one to use `fit`.")

    def validation_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Evaluate one validation batch; arguments `batch, batch_idx`, and `dataloader_idx` with several loaders."""
        raise MisconfigurationException(f"{type(self).__name__} has no `validation_step`. Write one to validate.")

    def test_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Evaluate one test batch; arguments as for `validation_step`."""
        raise MisconfigurationException(f"{type(self).__name__} has no `test_step`. Write one to test.")

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        """Return the prediction for one batch; calls the model on it unless written."""
        return self(args[0] if args else kwargs["batch"])

    def configure_optimizers(self) -> Any:  # its forms are read by trainer.optimization.optimizers
        """Return the optimizer, with schedulers if any; None trains nothing. `trainer.optimization` has the forms."""
        warnings.warn(
            f"{type(self).__name__} has no `configure_optimizers`: the fit runs without an optimizer.", stacklevel=2
        )

    def configure_callbacks(self) -> Callback | Sequence[Callback]:
        """Return callbacks of the model; they replace the trainer's callbacks of the same type."""
        return []

    def configure_model(self) -> None:
        """Build layers that are too large for `__init__`; called in every run, so build once only."""

    # Around an evaluation

    def on_validation_model_zero_grad(self) -> None:
        """Clear the gradients before validation inside a fit, as they only take memory there.

        Under manual optimisation they are kept: the user's code may still add to them.
        """
        if self.automatic_optimization:
            self.zero_grad()

    def on_validation_model_eval(self) -> None:
        """Put the model into evaluation mode before validation."""
        self.eval()

    def on_validation_model_train(self) -> None:
        """Write it to set modes after validation yourself; without it each submodule is as it was before.

        As it stands here, for `super()`, it puts everything into training mode.
        """
        self.train()

    def on_test_model_eval(self) -> None:
        """Put the model into evaluation mode before a test."""
        self.eval()

    def on_test_model_train(self) -> None:
        """Write it to set modes after a test yourself; without it each submodule is as it was before.

        As it stands here, for `super()`, it puts everything into training mode.
        """
        self.train()

    def on_predict_model_eval(self) -> None:
        """Put the model into evaluation mode before predictions."""
        self.eval()

    def on_predict_model_train(self) -> None:
        """Write it to set modes after predictions yourself; without it each submodule is as it was before.

        As it stands here, for `super()`, it puts everything into training mode.
        """
        self.train()

    # Logging

    def log(
        self,
        name: str,
        value: Any,  # a number, a tensor of one element, or a metric object
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool | None = None,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Record a value. It stays on its device; it is read every `log_every_n_steps` and at the end of an epoch.

        Args:
            name: name of the metric; with both `on_step` and `on_epoch`, "_step" and "_epoch" are added.
            value: a number, a tensor of one element, or an object with `compute` and `reset`.
            prog_bar: show it in the progress bar.
            logger: pass it to the loggers (default: yes).
            on_step: keep each step's value (default: in training steps).
            on_epoch: reduce it over the epoch (default: everywhere but in training steps).
            reduce_fx: "mean", "sum", "min" or "max", or torch's function of that name.
            enable_graph: accepted; values are always detached.
            sync_dist: combine over processes. By default epoch values are, step values are not.
            sync_dist_group: refused; all processes take part.
            add_dataloader_idx: add "/dataloader_idx_n" where there are several loaders.
            batch_size: the weight of this value in the mean (default: the first tensor's first dimension).
            metric_attribute: accepted; metric objects are kept themselves.
            rank_zero_only: only rank zero records it.
        """
        trainer = self._trainer
        if trainer is None and self._fabric is not None:
            log_through(self._fabric, {name: value}, logger)
            return
        if trainer is None:
            warnings.warn(f"`self.log({name!r}, ...)` does nothing outside a Trainer's run.", stacklevel=2)
            return
        trainer.metrics.log(
            name,
            value,
            (prog_bar, logger, on_step, on_epoch, reduce_fx, sync_dist, add_dataloader_idx, rank_zero_only),
            batch_size,
        )

    def log_dict(
        self,
        dictionary: Mapping[str, Any],
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool | None = None,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Record several values with the same options, which are those of `log`."""
        if self._trainer is None and self._fabric is not None:
            log_through(self._fabric, dictionary, logger)
            return
        for name, value in dictionary.items():
            self.log(
                name, value, prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist, sync_dist_group,
                add_dataloader_idx, batch_size, rank_zero_only=rank_zero_only,
            )  # fmt: skip

    def print(self, *values: object, **options: Any) -> None:
        """Print on rank zero only, without breaking a progress bar."""
        speaker = self._trainer or self._fabric
        (print if speaker is None else speaker.print)(*values, **options)

    # Where the run stands

    @property
    def trainer(self) -> Trainer:
        """Return the trainer of the current run; it may be set, as tests of steps do.

        Under Fabric it is a stand-in that has what Fabric has.

        Raises:
            RuntimeError: there is none.
        """
        if self._trainer is None and self._fabric is not None:
            return cast("Trainer", FabricInTrainersPlace(self._fabric))
        if self._trainer is None:
            raise RuntimeError(f"{type(self).__name__} is not attached to a Trainer. Use `trainer.fit(model)` first.")
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: Trainer | None) -> None:
        self._trainer = trainer

    @property
    def fabric(self) -> Fabric | None:
        """Return the Fabric that set this module up, None under a trainer; it may be set."""
        return self._fabric

    @fabric.setter
    def fabric(self, fabric: Fabric | None) -> None:
        for child in self.children():
            if isinstance(child, LightningModule):
                child.fabric = fabric
        self._fabric = fabric

    @property
    def device(self) -> torch.device:
        """Return the device of the parameters (or buffers), the CPU where there are none."""
        tensor: Tensor | None = next(self.parameters(), None)
        tensor = next(self.buffers(), None) if tensor is None else tensor
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the first floating parameter, torch's default where there is none."""
        return next((p.dtype for p in self.parameters() if p.is_floating_point()), torch.get_default_dtype())

    @property
    def on_gpu(self) -> bool:
        """Return whether the model is on a CUDA device."""
        return self.device.type == "cuda"

    @property
    def device_mesh(self) -> Any:  # torch's DeviceMesh
        """Return the mesh of devices of a strategy that has one, else None."""
        return None if self._trainer is None else getattr(self._trainer.strategy, "device_mesh", None)

    @property
    def current_epoch(self) -> int:
        """Return the index of the current epoch, 0 outside a run."""
        return 0 if self._trainer is None else self._trainer.current_epoch

    @property
    def global_step(self) -> int:
        """Return the number of optimizer steps so far, 0 outside a run."""
        return 0 if self._trainer is None else self._trainer.global_step

    @property
    def global_rank(self) -> int:
        """Return the rank of this process over all machines."""
        run = self._trainer or self._fabric
        return 0 if run is None else run.global_rank

    @property
    def local_rank(self) -> int:
        """Return the rank of this process on this machine."""
        run = self._trainer or self._fabric
        return 0 if run is None else run.local_rank

    @property
    def logger(self) -> Logger | None:
        """Return the first logger of the run."""
        run = self._trainer or self._fabric
        return None if run is None or not run.loggers else run.logger

    @property
    def loggers(self) -> list[Logger]:
        """Return the loggers of the run."""
        run = self._trainer or self._fabric
        return [] if run is None else run.loggers

    # Optimisation: what may be overridden, and what manual optimisation calls

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run the backward pass of `loss`."""
        if self._fabric is not None and self._trainer is None:
            self._fabric.backward(loss, *args, **kwargs)
            return
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Step the optimizer; the closure runs the training step and backward, so it has to be called."""
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clear the gradients."""
        optimizer.zero_grad()

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step a learning rate scheduler, with its metric if it has one."""
        default_scheduler_step(scheduler, metric)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients before a step; write it for a rule of your own."""
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def clip_gradients(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of `optimizer`'s parameters by their total norm, or each by value.

        What is not given is what the Trainer was given.

        Raises:
            MisconfigurationException: the Trainer was given something else, or the algorithm is unknown.
        """
        if self._fabric is not None and self._trainer is None:
            limits = {"clip_val" if gradient_clip_algorithm == "value" else "max_norm": gradient_clip_val}
            self._fabric.clip_gradients(self, optimizer, **limits)  # type: ignore[arg-type]  # Fabric's optimizers too
            return
        if self._trainer is not None:
            options = self._trainer.optimisation
            for name, own, given in (
                ("gradient_clip_val", gradient_clip_val, options.gradient_clip_val),
                ("gradient_clip_algorithm", gradient_clip_algorithm, options.gradient_clip_algorithm),
            ):
                if own is not None and given is not None and own != given:
                    raise MisconfigurationException(
                        f"`{name}` was given twice. Got {given!r} in the Trainer and {own!r} in `clip_gradients`; "
                        "expected one of them. Leave one out."
                    )
            gradient_clip_val = options.gradient_clip_val if gradient_clip_val is None else gradient_clip_val
            gradient_clip_algorithm = gradient_clip_algorithm or options.gradient_clip_algorithm
        check_clipping(gradient_clip_val, gradient_clip_algorithm)
        plugin = None if self._trainer is None else self._trainer.precision_options.plugin
        if gradient_clip_val is not None and plugin is not None:
            plugin.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm or "norm")
        elif gradient_clip_val is not None:
            clip = clip_gradients if self._trainer is None else self._trainer.strategy.clip_gradients
            clip(optimizer, gradient_clip_val, gradient_clip_algorithm or "norm")

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run the backward pass under manual optimisation, with its hooks and the exchange between processes."""
        if self._fabric is not None and self._trainer is None:
            self._fabric.backward(loss, *args, **kwargs)
            return
        if self.automatic_optimization:
            raise MisconfigurationException(
                "`manual_backward` was called under automatic optimisation, which runs backward itself. Got "
                "automatic_optimization=True; expected False. Set it in `__init__`, or leave the call out."
            )
        self.trainer.manual_backward(loss, *args, **kwargs)

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:  # one or a list: callers know which
        """Return the optimizer, or the list of them; counted steps and hooks unless `use_pl_optimizer` is False."""
        if self._fabric is not None and self._trainer is None:
            chosen: list[Any] = list(self._fabric_optimizers)
        else:
            chosen = list(self.trainer.step_optimizers if use_pl_optimizer else self.trainer.optimizers)
        return chosen[0] if len(chosen) == 1 else chosen

    def lr_schedulers(self) -> Any:  # one, a list, or None: callers know which
        """Return the scheduler, the list of them, or None."""
        schedulers = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return schedulers[0] if len(schedulers) == 1 else schedulers or None

    def toggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Let only the parameters of `optimizer` require gradients, until `untoggle_optimizer`."""
        own = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        under_fabric = self._fabric is not None and self._trainer is None
        for other in self._fabric_optimizers if under_fabric else self.trainer.optimizers:
            for group in other.param_groups:
                for parameter in group["params"]:
                    self._toggled.setdefault(parameter, parameter.requires_grad)
                    parameter.requires_grad = self._toggled[parameter] and parameter in own

    def untoggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Give back what `toggle_optimizer` took."""
        for parameter, requires_grad in self._toggled.items():
            parameter.requires_grad = requires_grad
        self._toggled.clear()

    @contextmanager
    def toggled_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> Iterator[None]:
        """Toggle `optimizer` inside the block."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Return `data` with every tensor (or number) stacked over the processes in a new first dimension.

        Raises:
            MisconfigurationException: `group` or `sync_grads` is asked for.
        """
        if self._fabric is not None and self._trainer is None:
            return self._fabric.all_gather(data, group=group, sync_grads=sync_grads)
        if group is not None or sync_grads:
            raise MisconfigurationException(
                "`all_gather` gathers over all processes and without gradients. Got "
                f"group={group!r}, sync_grads={sync_grads!r}. Use torch.distributed.nn.functional.all_gather instead."
            )
        strategy = self.trainer.strategy
        data = tensors_from_numbers(data, self.device)
        if not strategy.is_distributed:
            return data
        return map_tensors(lambda tensor: torch.stack(strategy.gather(tensor)), data)

    # The model itself

    def freeze(self) -> Self:
        """Stop all gradients and enter evaluation mode; returns self."""
        for parameter in self.parameters():
            parameter.requires_grad = False
        return self.eval()

    def unfreeze(self) -> Self:
        """Let all parameters require gradients and enter training mode; returns self."""
        for parameter in self.parameters():
            parameter.requires_grad = True
        return self.train()

    def to_onnx(
        self,
        file_path: str | Path | BytesIO | None = None,
        input_sample: Any = None,  # whatever `forward` takes
        **kwargs: Any,
    ) -> Any:  # torch's ONNXProgram
        """Write the model in ONNX format; it is in evaluation mode for that, and afterwards as it was.

        Args:
            file_path: the file; None writes none.
            input_sample: an input of `forward`: a tensor, a tuple of arguments, or a dict of named ones; by default
                `example_input_array`. Without `dynamic_shapes` its shapes are those of the exported model.
            kwargs: arguments of `torch.onnx.export`, whose newer exporter (`dynamo=True`) is the default.

        Returns:
            torch's ONNXProgram, or None with `dynamo=False`.

        Raises:
            ModuleNotFoundError: onnx or onnxscript is missing.
            ValueError: there is no sample.
            MisconfigurationException: the sample has size 1 in a dimension that is to stay open.
        """
        from trainer.model.exports import export_onnx

        return export_onnx(self, file_path, input_sample, kwargs)

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a model built from the hyperparameters in a checkpoint, with its weights.

        Args:
            checkpoint_path: a file that the trainer wrote.
            map_location: where tensors go, as for `torch.load`; the CPU by default.
            hparams_file: take the hyperparameters from this .yaml, .json or .csv file instead.
            strict: refuse missing or unexpected weights (default: the class's `strict_loading`).
            weights_only: always true here: a checkpoint is read as plain data. False is refused.
            kwargs: arguments of `__init__` that win over the saved ones.
        """
        check_weights_only(weights_only)
        checkpoint = read_for_building(checkpoint_path, map_location)
        if hparams_file is not None:
            checkpoint["hyper_parameters"] = read_hyperparameters(hparams_file)
        model = cls._build(checkpoint, kwargs)
        model.configure_model()
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"], strict=model.strict_loading if strict is None else strict)
        return model
