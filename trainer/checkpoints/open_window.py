"""The gradients of an accumulation window that is open when a checkpoint is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trainer.types import PlainState

if TYPE_CHECKING:
    from trainer.trainer import Trainer

MOST_BYTES = 1 << 30
"""Up to so many bytes the gradients of all processes are kept apart; beyond, their mean."""


def open_gradients(trainer: Trainer) -> tuple[PlainState, bool]:
    """Return the gradients of the open window by name, and whether they are the mean over the processes.

    Each process keeps its own, as adding them up in another order would change the last bits. Together they pass
    through every process, so that large ones are averaged instead.
    """
    if not trainer.train_state.window_batches:
        return {}, False
    named = list(trainer.lightning_module.named_parameters())
    if not trainer.strategy.is_distributed or trainer.strategy.averages_at_once:
        grads = {name: parameter.grad for name, parameter in named if parameter.grad is not None}
        return grads, trainer.strategy.averages_at_once
    own = sum(p.grad.numel() * p.grad.element_size() for _, p in named if p.grad is not None)
    [largest] = trainer.strategy.agree([own])
    if largest * trainer.world_size <= MOST_BYTES:
        return {name: parameter.grad for name, parameter in named if parameter.grad is not None}, False
    trainer.warn_once(
        f"The gradients of an open accumulation window are large ({largest * trainer.world_size >> 20} MiB over all "
        "processes), so the checkpoint keeps their mean: a resume from it is right but for rounding. Save after "
        "optimizer steps (ModelCheckpoint does) to resume bit by bit."
    )
    return {
        name: trainer.strategy.reduce(torch.zeros_like(p) if p.grad is None else p.grad, "mean")
        for name, p in named
        if p.requires_grad
    }, True


def restore_gradients(trainer: Trainer, checkpoint: PlainState) -> None:
    """Give the parameters the gradients of the open window in `checkpoint`, the mean where processes have changed."""
    kept = [state.get("gradients", {}) for state in checkpoint["ranks"]]
    shared: PlainState = checkpoint.get("gradients", {})
    if shared:
        from trainer.checkpoints.sharded.tensors import fill_like  # late: it takes a while to import

        shared = fill_like(shared, dict(trainer.lightning_module.named_parameters()))
    strategy, shares = trainer.strategy, checkpoint.get("data_shares", len(kept))
    is_laid_out_alike = len(kept) == trainer.world_size and shares == strategy.data_share.world_size
    is_own = is_laid_out_alike and not strategy.averages_at_once  # else each process needs the mean
    for name, parameter in trainer.lightning_module.named_parameters():
        if name in shared:
            parameter.grad = trainer.strategy.split_like(shared[name], parameter)
        elif is_own:
            if name in kept[trainer.global_rank]:
                parameter.grad = trainer.strategy.split_like(kept[trainer.global_rank][name], parameter)
        elif found := [gradients[name] for gradients in kept if name in gradients]:
            parameter.grad = trainer.strategy.split_like(torch.stack(found).sum(0) / shares, parameter)
