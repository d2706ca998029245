"""Logging the learning rates."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from torch.optim import Optimizer

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.types import Batch

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class LearningRateMonitor(Callback):
    """Passes the learning rate of every parameter group to the loggers, as it is used by the step that follows.

    An optimizer is called by its scheduler's `name`, or "lr-" and its class, with "-1", "-2" after the first of a
    class. With several groups, "/pg1" or the group's "name" follows. `callback_metrics` has the values too.

    Args:
        logging_interval: at every "step" that is logged, or at the start of every "epoch"; by default as the
            scheduler's own interval, and both where an optimizer has no scheduler.
        log_momentum: momentum (or the first beta) too.
        log_weight_decay: weight decay too.

    Attributes:
        lrs: the learning rates logged so far, by name.
        last_momentum_values: the newest momentum, by name.
        last_weight_decay_values: the newest weight decay, by name.
    """

    def __init__(
        self,
        logging_interval: Literal["step", "epoch"] | None = None,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
    ) -> None:
        if logging_interval not in (None, "step", "epoch"):
            raise MisconfigurationException(
                four_parts("LearningRateMonitor cannot tell when to log.", got=logging_interval,
                           expected="'step', 'epoch' or None", remedy="Correct `logging_interval`.")
            )  # fmt: skip
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self.log_weight_decay = log_weight_decay
        self.lrs: dict[str, list[float]] = {}
        self.last_momentum_values: dict[str, float | None] = {}
        self.last_weight_decay_values: dict[str, float | None] = {}
        self._named: list[tuple[str, Optimizer, str | None]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the optimizers, each with the interval of its scheduler.

        Raises:
            MisconfigurationException: there is no logger, or two groups of an optimizer have one name.
        """
        if not trainer.loggers:
            raise MisconfigurationException(
                four_parts("LearningRateMonitor has nobody to tell.", got="a trainer without a logger",
                           expected="a logger", remedy="Pass logger=True, or remove the callback.")
            )  # fmt: skip
        used: Counter[str] = Counter()
        self._named = []
        scheduled = [
            (config.name, getattr(config.scheduler, "optimizer", None), config.interval)
            for config in trainer.lr_scheduler_configs
        ]
        covered = {id(optimizer) for _, optimizer, _ in scheduled}
        alone = [(None, optimizer, None) for optimizer in trainer.optimizers if id(optimizer) not in covered]
        for name, optimizer, interval in [*scheduled, *alone]:
            if not isinstance(optimizer, Optimizer):
                continue
            if name is None:
                kind = f"lr-{type(optimizer).__name__}"
                name = f"{kind}-{used[kind]}" if used[kind] else kind
                used[kind] += 1
            self._named.append((name, optimizer, interval))
        names = [key for name, optimizer, _ in self._named for key in _group_names(name, optimizer)]
        self.lrs = {name: [] for name in names}
        self.last_momentum_values = {f"{name}-momentum": None for name in names}
        self.last_weight_decay_values = {f"{name}-weight_decay": None for name in names}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log at the start of an epoch."""
        if self.logging_interval != "step":
            self._log(trainer, "epoch")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Log before a step that the loggers hear of."""
        every, state = trainer.reporting.log_every_n_steps, trainer.train_state
        if self.logging_interval == "epoch" or not every or state.window_batches:
            return
        if (state.stepped_batches + 1) % every == 0:
            self._log(trainer, "step")

    def _log(self, trainer: Trainer, interval: str) -> None:
        values: dict[str, float] = {}
        for name, optimizer, own_interval in self._named:
            if self.logging_interval is None and own_interval not in (None, interval):
                continue
            for key, group in zip(_group_names(name, optimizer), optimizer.param_groups, strict=True):
                values[key] = float(group["lr"])
                self.lrs.setdefault(key, []).append(values[key])
                if self.log_momentum:
                    momentum = float(group.get("momentum", group.get("betas", (0.0,))[0]))
                    values[f"{key}-momentum"] = self.last_momentum_values[f"{key}-momentum"] = momentum
                if self.log_weight_decay:
                    decay = float(group.get("weight_decay", 0.0))
                    values[f"{key}-weight_decay"] = self.last_weight_decay_values[f"{key}-weight_decay"] = decay
        trainer.metrics.note(values)
        trainer.log_values(values, trainer.train_state.stepped_batches)


def _group_names(name: str, optimizer: Optimizer) -> list[str]:
    """Return the name of each parameter group: the optimizer's, and the group's where it has one or is not alone."""
    groups = optimizer.param_groups
    if len(groups) == 1:
        return [f"{name}/{groups[0]['name']}" if groups[0].get("name") else name]
    own = [str(group.get("name", f"pg{index + 1}")) for index, group in enumerate(groups)]
    twice = sorted(key for key, times in Counter(own).items() if times > 1)
    if twice:
        raise MisconfigurationException(
            four_parts(f"Parameter groups of {name} share a name.", got=twice, expected="a name of its own for each",
                       remedy="Correct the groups' 'name' in `configure_optimizers`.")
        )  # fmt: skip
    return [f"{name}/{key}" for key in own]
