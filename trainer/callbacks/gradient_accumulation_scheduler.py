"""Accumulating gradients over a number of batches that changes with the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.loops.hooks import is_overridden

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class GradientAccumulationScheduler(Callback):
    """Sets how many batches make one optimizer step, from certain epochs on.

    `{0: 8, 4: 4, 8: 1}` accumulates eight batches in epochs 0 to 3, four in epochs 4 to 7, then none. Before the first
    epoch named it is one. The last, shorter window of an epoch is scaled by what it holds.

    Args:
        scheduling: batches of an optimizer step by the index of the epoch from which it holds.

    Raises:
        TypeError: `scheduling` is empty.
        MisconfigurationException: an epoch is no integer of at least 0, or a number of batches none of at least 1.
    """

    def __init__(self, scheduling: Mapping[int, int]) -> None:
        if not scheduling:
            raise TypeError(
                four_parts("GradientAccumulationScheduler has nothing to schedule.", got=scheduling,
                           expected="batches of a step by epoch", remedy="Pass {0: 4}, for example.")
            )  # fmt: skip
        epochs, factors = list(scheduling), list(scheduling.values())
        if not all(_is_count(epoch, least=0) for epoch in epochs) or not all(_is_count(n, least=1) for n in factors):
            raise MisconfigurationException(
                four_parts("GradientAccumulationScheduler cannot read its schedule.", got=dict(scheduling),
                           expected="epochs of at least 0 and batches of at least 1, all integers",
                           remedy="Pass {0: 4, 10: 1}, for example.")
            )  # fmt: skip
        self.scheduling = {0: 1, **scheduling}
        self.epochs = sorted(self.scheduling)

    def going_to_accumulate_grad_batches(self) -> bool:
        """Return whether any epoch accumulates more than one batch."""
        return any(factor > 1 for factor in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """Return the batches of an optimizer step in `epoch`."""
        return self.scheduling[max(start for start in self.epochs if start <= max(epoch, 0))]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what cannot go together.

        Raises:
            RuntimeError: the model optimises by itself.
            ValueError: the trainer has an `accumulate_grad_batches` of its own.
        """
        if not pl_module.automatic_optimization:
            raise RuntimeError(
                "GradientAccumulationScheduler needs automatic optimisation; under manual optimisation `training_step` "
                "decides when to step. Remove the callback, or set `automatic_optimization = True`."
            )
        if trainer.optimisation.accumulate_grad_batches != 1:
            raise ValueError(
                four_parts("Both the trainer and GradientAccumulationScheduler say how many batches to accumulate.",
                           got=f"accumulate_grad_batches={trainer.optimisation.accumulate_grad_batches}", expected="1",
                           remedy="Remove one of them.")
            )  # fmt: skip
        from trainer.module import LightningModule

        written = [
            name
            for name in ("optimizer_step", "optimizer_zero_grad")
            if is_overridden(name, pl_module, LightningModule)
        ]
        if written and self.going_to_accumulate_grad_batches():
            trainer.warn_once(f"`{'` and `'.join(written)}` are called once for each window, not for each batch.")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the factor of this epoch."""
        trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(trainer.current_epoch)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
