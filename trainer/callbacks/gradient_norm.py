"""Logging the norms of the gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.optim import Optimizer

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.utilities.grads import grad_norm

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class GradientNorm(Callback):
    """Logs the norm of the gradients before clipping, at the steps that go to the loggers.

    Args:
        norm_type: p of the p-norm, also "inf".
        by_parameter: the norm of each parameter's gradient too, not only of all together.
        log_every_n_steps: at every n-th optimizer step; by default as the trainer's `log_every_n_steps`.
        prog_bar: show the norm of all gradients in the progress bar.
    """

    def __init__(
        self,
        norm_type: float | int | str = 2,
        by_parameter: bool = False,
        log_every_n_steps: int | None = None,
        prog_bar: bool = False,
    ) -> None:
        if not float(norm_type) > 0 or (log_every_n_steps is not None and log_every_n_steps < 1):
            raise MisconfigurationException(
                four_parts("GradientNorm cannot work as asked.",
                           got=f"norm_type={norm_type!r}, log_every_n_steps={log_every_n_steps!r}",
                           expected="a positive norm and a positive number of steps", remedy="Correct it.")
            )  # fmt: skip
        self.norm_type = norm_type
        self.by_parameter = by_parameter
        self.log_every_n_steps = log_every_n_steps
        self.prog_bar = prog_bar

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Log the norms."""
        every = self.log_every_n_steps or trainer.reporting.log_every_n_steps
        if not every or ((trainer.train_state.stepped_batches + 1) % every and not trainer.is_last_batch):
            return
        norms = grad_norm(pl_module, self.norm_type)
        total = f"grad_{float(self.norm_type)}_norm_total"
        for name, norm in norms.items():
            if name == total or self.by_parameter:
                pl_module.log(name, norm, prog_bar=self.prog_bar and name == total)
