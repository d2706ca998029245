"""A short table of the model's parts and their parameters, printed before a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from trainer.callback import Callback

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


def summarize(model: nn.Module) -> str:
    """Return one line for each direct child of `model`, and the totals."""
    rows = [
        (name, type(child).__name__, sum(parameter.numel() for parameter in child.parameters()))
        for name, child in model.named_children()
    ]
    total = sum(parameter.numel() for parameter in model.parameters())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    size_mb = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()) / 1e6
    widths = [max([len(name) for name, _, _ in rows] or [0]), max([len(kind) for _, kind, _ in rows] or [0])]
    lines = [f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {count:>12,}" for name, kind, count in rows]
    lines.append(f"{trainable:,} trainable of {total:,} parameters, {size_mb:.2f} MB")
    return "\n".join(lines)


class ModelSummary(Callback):
    """Prints `summarize(model)` on rank zero when a fit begins."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table."""
        trainer.print(summarize(pl_module))
