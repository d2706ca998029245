"""Averages of the weights over the steps of training: equally weighted, or exponentially."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainer.callback import Callback
from trainer.types import Batch, PlainState, Stage, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class WeightAveraging(Callback):
    """Keeps an average of the weights beside those that are trained.

    Validation inside a fit sees the average, `state_dict` in checkpoints is the average, and the model has it when
    training ends. As long as nothing was averaged, all of them have the running weights. Checkpoints hold the running
    weights too, under "current_model_state", so that a resume is exact.

    Args:
        device: where the average is kept; by default where the model is.
        use_buffers: average buffers too; otherwise they are copied.
        kwargs: arguments of torch's `AveragedModel`, such as `avg_fn` or `multi_avg_fn`. By default all updates count
            equally.
    """

    def __init__(self, device: torch.device | str | int | None = None, use_buffers: bool = True, **kwargs: Any) -> None:
        self._device = torch.device(device) if isinstance(device, str) else device
        self._use_buffers = use_buffers
        self._kwargs = kwargs
        self._average_model: AveragedModel | None = None
        self._is_swapped = False
        self._loaded: PlainState | None = None  # an average that was read before the model was ready
        self._asked_at_step = 0
        self._latest_update_step = 0
        self._latest_update_epoch = -1

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether to take up the weights now; override to choose. By default: after every optimizer step.

        Args:
            step_idx: index of the optimizer step just done, None when called at the end of an epoch.
            epoch_idx: index of the epoch just done, None when called after a step.
        """
        return step_idx is not None

    @property
    def has_average(self) -> bool:
        """Return whether anything was averaged."""
        return self._average_model is not None and int(self._average_model.n_averaged) > 0

    # Updates

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Forget the average of an earlier fit."""
        if stage == "fit":
            self._average_model, self._is_swapped = None, False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the place for the average; layers and device are final now."""
        device = pl_module.device if self._device is None else self._device
        model = trainer.strategy.copyable(pl_module)
        average = AveragedModel(model, device=device, use_buffers=self._use_buffers, **self._kwargs)
        average.requires_grad_(False)
        # On the device, asking whether it is 0 would wait for all work queued there, for every parameter.
        average.n_averaged = average.n_averaged.cpu()
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            from trainer.checkpoints.sharded.tensors import fill  # late: it takes a while to import

            loaded = fill(loaded, average.state_dict())
            trainer.strategy.load_module(average, loaded, strict=True)
            average.n_averaged = average.n_averaged.cpu()
        self._average_model = average

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Take up the weights after an optimizer step."""
        steps = trainer.train_state.global_step
        if steps > self._asked_at_step:
            self._asked_at_step = steps
            if self.should_update(step_idx=steps - 1):
                self._average.update_parameters(pl_module)
                self._latest_update_step = steps

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the weights after an epoch."""
        epoch = trainer.current_epoch
        if epoch > self._latest_update_epoch and self.should_update(epoch_idx=epoch):
            self._average.update_parameters(pl_module)
            self._latest_update_epoch = epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the average to the model."""
        if self.has_average:
            for average, current in self._pairs(pl_module):
                current.copy_(average)

    # Validation

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the average, if there is one."""
        if trainer.is_fitting and self.has_average and not self._is_swapped:
            self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the model its running weights back."""
        if self._is_swapped:
            self._swap(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the model its running weights back where validation failed."""
        if self._is_swapped:
            self._swap(pl_module)

    # Checkpoints

    def state_dict(self) -> PlainState:
        """Return when the average was last updated; the average itself is kept beside the weights."""
        return {
            "asked_at_step": self._asked_at_step,
            "latest_update_step": self._latest_update_step,
            "latest_update_epoch": self._latest_update_epoch,
        }

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Go on from the last update."""
        self._latest_update_step = state_dict["latest_update_step"]
        self._asked_at_step = state_dict.get("asked_at_step", self._latest_update_step)
        self._latest_update_epoch = state_dict.get("latest_update_epoch", -1)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: PlainState) -> None:
        """Put the average in the place of the weights, and the running weights beside it."""
        if self._average_model is None:
            return
        own = checkpoint["state_dict"]
        inside = self._average_model.state_dict()
        other = {name.removeprefix("module."): value for name, value in inside.items() if name.startswith("module.")}
        average, current = (own, other) if self._is_swapped else (other, own)
        checkpoint["state_dict"] = average if self.has_average else current
        checkpoint["current_model_state"] = current
        checkpoint["averaging_state"] = {k: v.clone() for k, v in inside.items() if not k.startswith("module.")}

    def weights_only(self, weights: PlainState) -> PlainState:
        """Return the weights of a checkpoint without the state of the run: the average, if there is one."""
        if self._average_model is None or not self.has_average or self._is_swapped:
            return weights
        inside = self._average_model.state_dict()
        return {name.removeprefix("module."): value for name, value in inside.items() if name.startswith("module.")}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: PlainState) -> None:
        """Let a resumed fit go on with the running weights; other runs take the average."""
        if not trainer.is_fitting:
            return
        if "current_model_state" not in checkpoint or "averaging_state" not in checkpoint:
            trainer.warn_once("The checkpoint was saved without WeightAveraging: averaging starts from its weights.")
            return
        average = {f"module.{name}": value for name, value in checkpoint["state_dict"].items()}
        self._loaded = average | checkpoint["averaging_state"]
        checkpoint["state_dict"] = checkpoint["current_model_state"]

    # Parts

    @property
    def _average(self) -> AveragedModel:
        if self._average_model is None:
            raise RuntimeError(f"{type(self).__name__} has no average outside a fit.")
        return self._average_model

    def _pairs(self, module: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each tensor of the average with the model's own."""
        inside = self._average.module
        averages = chain(inside.parameters(), inside.buffers())
        for average, current in zip(averages, chain(module.parameters(), module.buffers()), strict=True):
            yield average.detach(), current.detach()

    def _swap(self, module: nn.Module) -> None:
        for average, current in self._pairs(module):
            kept = current.clone()
            current.copy_(average)
            average.copy_(kept)
        self._is_swapped = not self._is_swapped


class EMAWeightAveraging(WeightAveraging):
    """Keeps an exponential moving average of the weights: `decay` of itself and the rest of the new weights.

    Args:
        device: where the average is kept; by default where the model is.
        use_buffers: average buffers too; otherwise they are copied.
        decay: the share of the average that stays at an update, from 0 to 1.
        update_every_n_steps: update after every n-th optimizer step; 0 never after steps.
        update_starting_at_step: index of the optimizer step from which on updates begin.
        update_starting_at_epoch: index of the epoch from which on updates follow each epoch too; None never.
        kwargs: further arguments of torch's `AveragedModel`.
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(device, use_buffers, **kwargs, multi_avg_fn=_Exponential(decay))
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether this step, or this epoch, is one after which to update."""
        if step_idx is not None:
            begun = self.update_starting_at_step is None or step_idx >= self.update_starting_at_step
            every = self.update_every_n_steps
            return begun and every > 0 and step_idx % every == 0
        start = self.update_starting_at_epoch
        return epoch_idx is not None and start is not None and epoch_idx >= start


class _Exponential:
    """torch's update of an exponential average, as something that can be pickled."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._update: Callable[..., None] = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def __reduce__(self) -> tuple[type[_Exponential], tuple[float]]:
        return type(self), (self._decay,)

    def __call__(self, *arguments: Any) -> None:
        self._update(*arguments)
