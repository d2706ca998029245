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
        self._named: list[tuple[str, Optimizer, str | None]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the optimizers, each with the interval of its scheduler."""
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
            groups = optimizer.param_groups
            for index, group in enumerate(groups):
                key = f"{name}/{group.get('name', f'pg{index + 1}')}" if len(groups) > 1 else name
                values[key] = float(group["lr"])
                if self.log_momentum:
                    values[f"{key}-momentum"] = float(group.get("momentum", group.get("betas", (0.0,))[0]))
                if self.log_weight_decay:
                    values[f"{key}-weight_decay"] = float(group.get("weight_decay", 0.0))
        trainer.metrics.note(values)
        trainer.log_values(values, trainer.train_state.stepped_batches)
