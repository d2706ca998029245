"""Short trial runs inside a run, which leave no trace in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from trainer.data.loaders import generator_states, list_loaders, restore_generators
from trainer.loggers import DummyLogger
from trainer.loops.state import StopFlags, TrainState
from trainer.metrics.store import MetricStore
from trainer.seed import isolated_rng

if TYPE_CHECKING:
    from trainer.callback import Callback
    from trainer.trainer import Trainer


class TunerExit(Exception):
    """Ends a run that was only there for the tuner; it is no failure."""


_ATTRIBUTES = (
    "callbacks", "loggers", "length", "metrics", "train_state", "lr_scheduler_configs", "train_loader", "optimizers",
    "step_optimizers", "scaler",
)  # fmt: skip


@contextmanager
def trial(trainer: Trainer, callbacks: list[Callback]) -> Iterator[None]:
    """Let training run inside the block; afterwards everything is as it was before.

    Weights, buffers, gradients, modes, optimizers, the scaler, the counters, the metrics, all random generators and
    those of the loaders are restored exactly. Inside, only `callbacks` are called, no scheduler steps, and nothing is
    logged, saved or shown.
    """
    module = trainer.lightning_module
    before = {name: getattr(trainer, name) for name in _ATTRIBUTES}
    stage, is_last, status = trainer.state.stage, trainer.state.is_last_batch, trainer.flags.bits
    evaluations, inner = dict(trainer.evaluations), trainer.metrics
    weights = {name: tensor.detach().clone() for name, tensor in module.state_dict(keep_vars=True).items()
               if isinstance(tensor, torch.Tensor)}  # fmt: skip
    unsaved = {name: buffer.detach().clone() for name, buffer in module.named_buffers() if name not in weights}
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    modes = [(part, part.training) for part in module.modules()]
    optimizers = [copy.deepcopy(optimizer.state_dict()) for optimizer in trainer.optimizers]
    scaler = None if trainer.scaler is None else copy.deepcopy(trainer.scaler.state_dict())
    loaders = [(loader, generator_states(loader)) for loader in _given_loaders(trainer)]
    for parameter, _ in gradients:
        parameter.grad = None  # the old ones are kept aside, not added to
    try:
        with isolated_rng():
            trainer.callbacks = callbacks
            trainer.loggers = [DummyLogger()] if trainer.loggers else []
            trainer.metrics, trainer.train_state = MetricStore(), TrainState()
            trainer.metrics.begin_run(is_rank_zero=trainer.is_global_zero)
            trainer.lr_scheduler_configs = []
            trainer.flags.lower_flag(StopFlags.REQUESTED)
            yield
    finally:
        for name, value in before.items():
            setattr(trainer, name, value)
        trainer.state.stage, trainer.state.is_last_batch = stage, is_last
        requested = bool(status & StopFlags.REQUESTED)
        (trainer.flags.raise_flag if requested else trainer.flags.lower_flag)(StopFlags.REQUESTED)
        trainer.evaluations.clear()
        trainer.evaluations.update(evaluations)
        trainer.metrics = inner
        with torch.no_grad():
            current = module.state_dict(keep_vars=True)
            for name, tensor in weights.items():
                current[name].copy_(tensor)
            buffers = dict(module.named_buffers())
            for name, tensor in unsaved.items():
                buffers[name].copy_(tensor)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for part, training in modes:
            part.training = training
        for optimizer, state in zip(trainer.optimizers, optimizers, strict=True):
            optimizer.load_state_dict(state)
        if scaler is not None:
            trainer.scaler.load_state_dict(scaler)
        for loader, states in loaders:
            restore_generators(loader, states)


def _given_loaders(trainer: Trainer) -> list[Any]:
    """Return the loaders that a trial may iterate, where generators of the user's may stand."""
    if not trainer.is_fitting:
        return [loader for loop in trainer.evaluations.values() for loader in list_loaders(loop.given)]
    found = [trainer.train_loader.given] if trainer.train_loader is not None else []
    missing = ["train", "val"] if not found else ["val"]
    for source in missing:
        if trainer.sources.has(source):
            found += list_loaders(trainer.sources.loader(source))
    return found
