"""Stochastic weight averaging: the mean of the weights at the ends of the last epochs, at a constant learning rate."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import SWALR

from trainer.callback import Callback
from trainer.data.transfer import choose_transfer
from trainer.errors import MisconfigurationException, four_parts
from trainer.loops.steps import positional_arguments
from trainer.metrics.store import MetricStore
from trainer.optimization.optimizers import LRSchedulerConfig
from trainer.seed import isolated_rng
from trainer.types import PlainState

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class StochasticWeightAveraging(Callback):
    """Averages the weights over the last epochs (Izmailov et al. 2018) and gives the average to the model at the end.

    From `swa_epoch_start` on, the learning rate moves to `swa_lrs` and stays there, in the place of the model's own
    scheduler; the weights that each epoch starts with are taken into the average. At the end, the statistics of batch
    norms are computed anew by one pass over the training data, without gradients and hooks. Checkpoints hold the
    running weights as weights, the average in this callback's state.

    Args:
        swa_lrs: the learning rate of averaging, or one for each parameter group.
        swa_epoch_start: the epoch (counted from 1) that it starts with, or a share of `max_epochs`.
        annealing_epochs: epochs in which the learning rate gets there.
        annealing_strategy: how it gets there, "cos" or "linear".
        avg_fn: function of the average so far, the model's parameter and the number averaged so far, for other means.
        device: where the average is kept; None for where the model is.
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: Literal["cos", "linear"] = "cos",
        avg_fn: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        device: torch.device | str | None = torch.device("cpu"),  # noqa: B008 - a constant
    ) -> None:
        _check(swa_lrs, swa_epoch_start, avg_fn, device)
        self.n_averaged: Tensor | None = None
        self._swa_lrs = swa_lrs
        self._swa_epoch_start = swa_epoch_start
        self._annealing_epochs = annealing_epochs
        self._annealing_strategy: Literal["cos", "linear"] = annealing_strategy
        self._avg_fn = avg_fn or self.avg_fn
        self._device = device
        self._average_model: LightningModule | None = None
        self._swa_scheduler: SWALR | None = None
        self._latest_update_epoch = -1
        self._loaded: PlainState | None = None
        self._max_epochs = -1

    @property
    def swa_start(self) -> int:
        """Return the index of the epoch that averaging starts with; known from the start of the fit."""
        return max(int(self._swa_epoch_start) - 1, 0)

    @property
    def swa_end(self) -> float:
        """Return the index of the last epoch, infinite without a limit."""
        return float("inf") if self._max_epochs == -1 else self._max_epochs - 1

    @staticmethod
    def avg_fn(averaged_model_parameter: Tensor, model_parameter: Tensor, num_averaged: Tensor) -> Tensor:
        """Return the mean of all averaged so far and one more."""
        return averaged_model_parameter + (model_parameter - averaged_model_parameter) / (num_averaged + 1)

    @staticmethod
    def pl_module_contains_batch_norm(pl_module: nn.Module) -> bool:
        """Return whether there is a batch norm."""
        return any(isinstance(module, _BatchNorm) for module in pl_module.modules())

    # The fit

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Get ready; where a resumed run had begun to average, its scheduler takes its place again.

        Raises:
            MisconfigurationException: there is not one optimizer, there are several schedulers, or the start is a
                share of an endless fit.
        """
        problems = []
        if len(trainer.optimizers) != 1:
            problems.append(f"{len(trainer.optimizers)} optimizers; expected one")
        if len(trainer.lr_scheduler_configs) > 1:
            problems.append(f"{len(trainer.lr_scheduler_configs)} learning rate schedulers; expected one at most")
        if isinstance(self._swa_epoch_start, float) and trainer.length.max_epochs == -1:
            problems.append("a share of an endless fit as `swa_epoch_start`; expected the number of an epoch")
        if not pl_module.automatic_optimization and self.pl_module_contains_batch_norm(pl_module):
            problems.append("batch norms under manual optimisation, whose statistics cannot be renewed without steps")
        if problems:
            raise MisconfigurationException(f"StochasticWeightAveraging got {'; '.join(problems)}.")
        self._max_epochs = trainer.length.max_epochs
        if isinstance(self._swa_epoch_start, float):
            self._swa_epoch_start = int(trainer.length.max_epochs * self._swa_epoch_start)
        device = pl_module.device if self._device is None else self._device
        self._average_model = copy.deepcopy(pl_module).to(device)
        self._swa_scheduler, self._latest_update_epoch = None, -1
        self.n_averaged = torch.tensor(0)
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            self.n_averaged = torch.tensor(loaded["n_averaged"])
            self._latest_update_epoch = loaded["latest_update_epoch"]
            self._average_model.load_state_dict(loaded["average_model_state"])
            if loaded["scheduler_state"] is not None:
                self._replace_scheduler(trainer)  # its state and the learning rates are restored after this hook

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the weights that this epoch starts with."""
        epoch = trainer.current_epoch
        if not self.swa_start <= epoch <= self.swa_end:
            return
        if self._swa_scheduler is None:
            self._replace_scheduler(trainer)
        if epoch > self._latest_update_epoch:
            assert self._average_model is not None
            assert self.n_averaged is not None
            self.update_parameters(self._average_model, pl_module, self.n_averaged, self._avg_fn)
            self._latest_update_epoch = epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the average to the model, with fresh statistics of batch norms."""
        if self._average_model is None or self.n_averaged is None or not int(self.n_averaged):
            return
        self.transfer_weights(self._average_model, pl_module)
        if self.pl_module_contains_batch_norm(pl_module):
            _renew_batch_norms(trainer, pl_module)

    def _replace_scheduler(self, trainer: Trainer) -> None:
        optimizer = trainer.optimizers[0]
        rates = self._swa_lrs if isinstance(self._swa_lrs, list) else [self._swa_lrs] * len(optimizer.param_groups)
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["initial_lr"] = rate
        self._swa_scheduler = SWALR(
            optimizer,
            swa_lr=rates,  # type: ignore[arg-type]  # torch takes a list too
            anneal_epochs=self._annealing_epochs,
            anneal_strategy=self._annealing_strategy,
        )
        if trainer.lr_scheduler_configs:
            replaced = trainer.lr_scheduler_configs[0]
            if replaced.interval != "epoch" or replaced.frequency != 1:
                trainer.warn_once(
                    f"StochasticWeightAveraging steps its scheduler every epoch; {type(replaced.scheduler).__name__}, "
                    f"which it replaces, stepped every {replaced.frequency} {replaced.interval}s."
                )
        trainer.lr_scheduler_configs[:] = [LRSchedulerConfig(scheduler=self._swa_scheduler)]

    @staticmethod
    def update_parameters(
        average_model: nn.Module,
        model: nn.Module,
        n_averaged: Tensor,
        avg_fn: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> None:
        """Take the parameters of `model` into the average, and count them."""
        for average, parameter in zip(average_model.parameters(), model.parameters(), strict=True):
            kept, new = average.detach(), parameter.detach().to(average.device)
            kept.copy_(avg_fn(kept, new, n_averaged.to(average.device)) if int(n_averaged) else new)
        n_averaged += 1

    @staticmethod
    def transfer_weights(src_pl_module: nn.Module, dst_pl_module: nn.Module) -> None:
        """Copy the parameters of one model to the other."""
        for source, target in zip(src_pl_module.parameters(), dst_pl_module.parameters(), strict=True):
            target.detach().copy_(source.to(target.device))

    # State

    def state_dict(self) -> PlainState:
        """Return the average and how many weights are in it."""
        if self._average_model is None or self.n_averaged is None:
            return {}
        return {
            "n_averaged": int(self.n_averaged),
            "latest_update_epoch": self._latest_update_epoch,
            "scheduler_state": None if self._swa_scheduler is None else self._swa_scheduler.state_dict(),
            "average_model_state": self._average_model.state_dict(),
        }

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Keep the state until the model is ready."""
        self._loaded = state_dict


def _check(
    swa_lrs: float | list[float], swa_epoch_start: int | float, avg_fn: object, device: torch.device | str | None
) -> None:
    problems: list[tuple[str, object, str]] = []
    rates = swa_lrs if isinstance(swa_lrs, list) else [swa_lrs]
    if not rates or not all(isinstance(rate, float) and rate > 0 for rate in rates):
        problems.append(("swa_lrs", swa_lrs, "a positive float, or a list of them, one for each parameter group"))
    is_share = isinstance(swa_epoch_start, float) and 0 <= swa_epoch_start <= 1
    if not is_share and not (isinstance(swa_epoch_start, int) and swa_epoch_start >= 1):
        problems.append(("swa_epoch_start", swa_epoch_start, "a whole number from 1 on, or a float from 0 to 1"))
    if avg_fn is not None and not callable(avg_fn):
        problems.append(("avg_fn", avg_fn, "a function, or None"))
    if device is not None and not isinstance(device, torch.device | str):
        problems.append(("device", device, "a torch.device, its name, or None"))
    if problems:
        name, value, expected = problems[0]
        raise MisconfigurationException(
            four_parts(f"StochasticWeightAveraging cannot use `{name}`.", got=value, expected=expected,
                       remedy="Correct it.")
        )  # fmt: skip


def _renew_batch_norms(trainer: Trainer, pl_module: LightningModule) -> None:
    """Compute the statistics of all batch norms as plain means over one pass of the training data."""
    loader = trainer.train_loader
    if loader is None:
        return
    norms = [module for module in pl_module.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    move, kept = choose_transfer(trainer), trainer.metrics
    takes = positional_arguments(pl_module.training_step, any_number=2)
    context = trainer.precision_options.step_context(trainer.strategy.device)
    trainer.metrics = MetricStore()  # what the steps log again is not part of the fit
    trainer.metrics.enter("train", "batch")
    try:
        with isolated_rng(), torch.no_grad():
            for index, batch in enumerate(loader.start_epoch(trainer.current_epoch)):
                batch = batch if move is None else move(batch)
                trainer.metrics.batch = batch
                arguments = (batch, index)[:takes]
                if context is None:
                    pl_module.training_step(*arguments)
                else:
                    with context():
                        pl_module.training_step(*arguments)
    finally:
        trainer.metrics = kept
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    if trainer.strategy.is_distributed:
        for norm in norms:
            for statistic in (norm.running_mean, norm.running_var):
                if statistic is not None:
                    statistic.copy_(trainer.strategy.reduce(statistic, "mean"))
