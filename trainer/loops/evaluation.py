"""Validation, test and prediction: one loop over one or several loaders, without gradients."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from trainer.callbacks.prediction_writer import BasePredictionWriter
from trainer.configuration.requirements import check_loader_index
from trainer.data.loaders import (
    Begun,
    begin_pass,
    has_index_stream,
    limit_batches,
    list_loaders,
    lives_on,
    loader_length,
    place_loader,
)
from trainer.data.sampling import IndexStream, view_loader
from trainer.data.transfer import choose_transfer
from trainer.errors import MisconfigurationException
from trainer.loops.hooks import bind, is_overridden
from trainer.loops.state import EVAL_STAGES
from trainer.loops.steps import positional_arguments, refuse_loader_steps
from trainer.profilers.weave import profiled, profiled_items, strategy_action
from trainer.seed import pass_key
from trainer.types import EvalKind, Hook
from trainer.utilities.combined_loader import CombinedLoader, combined_length, rebuild

if TYPE_CHECKING:
    from trainer.trainer import Trainer

_PREFIXES = {"validation": "val", "test": "test", "predict": "predict"}


class EvaluationLoop:
    """One pass over the loaders of a stage, as often as asked for.

    Args:
        trainer: the trainer of the run.
        kind: which steps and hooks.
        keeps_outputs: return what the steps return; for predictions.

    Attributes:
        given: the loaders as the user gave them.
        num_batches: batches of each loader, on this process.
        results: for each loader, what went to the loggers in the last pass.
        current_batch_indices: indices of the current batch's samples in the data set, where a writer asks for them.
        epoch_batch_indices: for each loader, those of its batches so far.
    """

    def __init__(self, trainer: Trainer, kind: EvalKind, *, keeps_outputs: bool = False) -> None:
        self.trainer = trainer
        self.kind = kind
        self.keeps_outputs = keeps_outputs
        self.given: Any = None
        self.num_batches: list[float] = []
        self.results: list[dict[str, float]] = []
        self.current_batch_indices: list[int] | None = None
        self.epoch_batch_indices: list[list[list[int] | None]] = []
        self._outputs: list[list[Any]] = []
        self._loaders: list[Any] = []
        self._given_indices: list[deque[Any] | None] = []
        self._keyed: list[IndexStream] = []  # of loaders whose workers live on
        self._is_bound = False
        self._has_batches = False
        self._seen: dict[int, int] = {}  # batches of each loader in earlier passes

    def load_data(self) -> None:
        """Ask for the loaders, split them over the processes and count their batches."""
        trainer = self.trainer
        self._loaders, self.num_batches, self._given_indices, self._keyed = [], [], [], []
        notes = self.kind == "predict" and any(isinstance(c, BasePredictionWriter) for c in trainer.callbacks)
        source = "val" if self.kind == "validation" else self.kind
        limit, argument = trainer.eval_limit(self.kind)
        self.given = trainer.sources.loader(source)
        for given in list_loaders(self.given):
            loader, stream = place_loader(
                given,
                trainer.strategy,
                training=False,
                splits=trainer.data.use_distributed_sampler,
                in_order=trainer.length.overfit_batches > 0,
            )
            if stream is not None and lives_on(loader):
                self._keyed.append(stream)
            if notes and stream is None and has_index_stream(loader):
                loader, stream = view_loader(loader)
            if notes and stream is not None:
                stream.given = deque()
            self._given_indices.append(None if stream is None else stream.given)
            self._loaders.append(loader)
            self.num_batches.append(limit_batches(loader_length(loader), limit, argument))
        if isinstance(self.given, CombinedLoader):
            self._combine(self.given)
        [anywhere] = trainer.strategy.agree([sum(self.num_batches) > 0])
        self._has_batches = bool(anywhere)

    def _combine(self, given: CombinedLoader) -> None:
        """Read the loaders as `given` does: one after the other, or together as one."""
        self.given = given.iterables
        if given.limits is not None:
            self.num_batches = [min(pair) for pair in zip(self.num_batches, given.limits, strict=True)]
        if given.mode == "sequential":
            return
        if self.kind == "predict":
            raise MisconfigurationException(
                f"`predict` reads its loaders one after the other. Got CombinedLoader(mode={given.mode!r}); expected "
                'mode="sequential". Pass the loaders as a list.'
            )
        self.num_batches = [combined_length(given.mode, self.num_batches)]
        self._loaders = [_Together(given, self._loaders)]

    @property
    def has_batches(self) -> bool:
        """Return whether there is anything to run, on any process: all of them take part in hooks and exchanges."""
        return self._has_batches

    @property
    def predictions(self) -> list[Any]:
        """Return the outputs kept so far; a list for each loader where there are several."""
        return self._outputs[0] if len(self._loaders) == 1 and self._outputs else self._outputs

    def _bind(self) -> None:
        trainer, kind = self.trainer, self.kind
        module = trainer.lightning_module
        name = f"{kind}_step"
        from trainer.module import LightningModule

        if kind != "predict" and not is_overridden(name, module, LightningModule):
            raise MisconfigurationException(
                f"{type(module).__name__} has no `{name}`, which this stage calls for every batch. Write one."
            )
        step = getattr(module, name)
        refuse_loader_steps(step, name)
        several = len(self._loaders) > 1
        self._takes = positional_arguments(step, any_number=3 if several else 2)
        for checked in (name, f"on_{kind}_batch_start", f"on_{kind}_batch_end"):
            if is_overridden(checked, module, LightningModule):
                check_loader_index(getattr(module, checked), checked, several=several)
        self._step: Hook = profiled(trainer, strategy_action(trainer, name), trainer.strategy.step(module, name))
        self._hooks = {
            when: bind(trainer, f"on_{kind}_{when}")
            for when in ("start", "end", "epoch_start", "epoch_end", "batch_start", "batch_end")
        }
        self._moves = [choose_transfer(trainer, index) for index in range(len(self._loaders))]
        self._context = trainer.precision_options.step_context(trainer.strategy.device, kind)
        self._is_bound = True

    def run(self, max_batches: float = math.inf) -> list[list[Any]]:
        """Run every loader, at most `max_batches` of each; return the outputs kept, by loader."""
        if not self._is_bound:
            self._bind()
        outputs = self._outputs = [[] for _ in self._loaders]
        batches = [min(number, max_batches) for number in self.num_batches]
        strategy, module = self.trainer.strategy, self.trainer.lightning_module
        with self._gradients_off(), self._evaluation_modes():
            self._start()
            with strategy.evaluation(module, batches):
                for index, loader in enumerate(self._loaders):
                    for _ in self._one_loader(index, loader, batches[index]):
                        pass
            self._finish()
        self._outputs = []
        return outputs

    def stream(self) -> Iterator[Any]:
        """Run every loader and yield what each step returns, at once; gradients are on between the batches."""
        self._bind()
        strategy, module = self.trainer.strategy, self.trainer.lightning_module
        with self._evaluation_modes():
            with self._gradients_off():
                self._start()
            with strategy.evaluation(module, self.num_batches):
                for index, loader in enumerate(self._loaders):
                    yield from self._each_without_gradients(self._one_loader(index, loader, self.num_batches[index]))
            with self._gradients_off():
                self._finish()

    def _each_without_gradients(self, outputs: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self._gradients_off():
                try:
                    output = next(outputs)
                except StopIteration:
                    return
            yield output

    def _gradients_off(self) -> AbstractContextManager[object]:
        # What a model keeps from its validation inside a fit (a cached mask, say) has to be usable in training.
        trainer = self.trainer
        infers = (
            trainer.reproducibility.inference_mode and trainer.strategy.allows_inference_mode and not trainer.is_fitting
        )
        return torch.inference_mode() if infers else torch.no_grad()

    def _start(self) -> None:
        if not self.trainer.is_sanity_checking:
            self.trainer.enter_stage(EVAL_STAGES[self.kind])
        self.trainer.metrics.reset("eval")
        for index, stream in enumerate(self._keyed):
            place = (index, self.trainer.global_rank, self.trainer.train_state.total_batches)
            stream.key = pass_key({"torch": torch.get_rng_state()}, {}, *place)
        self.epoch_batch_indices = [[] for _ in self._loaders]
        if self.kind != "predict":
            self.trainer.metrics.enter("eval", "epoch")
        self._call("start")
        self._call("epoch_start")

    def _one_loader(self, index: int, loader: Any, count: float) -> Iterator[Any]:
        """Run the batches of one loader and yield what each step returned."""
        trainer, metrics = self.trainer, self.trainer.metrics
        given, noted = self._given_indices[index], self.epoch_batch_indices[index]
        if given is not None:
            given.clear()
        several = len(self._loaders) > 1
        metrics.enter("eval", "batch", index if several else None)
        if self.kind == "predict":
            metrics.leave()  # a prediction has no metrics
        step, takes, move, context = self._step, self._takes, self._moves[index], self._context
        batch_start, batch_end = self._hooks["batch_start"], self._hooks["batch_end"]
        batches = begin_pass(loader, had_workers=True)  # the first pass draws no more than the later ones do
        batches = batches if math.isinf(count) else islice(batches, int(count))
        batches = profiled_items(trainer, f"[_EvaluationLoop].{_PREFIXES[self.kind]}_next", batches)
        extra = (index,) if several else ()
        seen, done = self._seen.get(index, 0), 0
        for batch_idx, batch in enumerate(batches):
            if move is not None:
                batch = move(batch)
            metrics.batch = batch
            if given is not None:
                # A loader gives its batches in the order in which it drew their indices, also with workers.
                self.current_batch_indices = _as_list(given.popleft()) if given else None
                if self.keeps_outputs:
                    noted.append(self.current_batch_indices)
            for hook in batch_start:
                hook(batch, batch_idx, *extra)
            arguments = (batch, batch_idx, index)[:takes]
            if context is None:
                output = step(*arguments)
            else:
                with context():
                    output = step(*arguments)
            if self.keeps_outputs:
                self._outputs[index].append(output)
            for hook in batch_end:
                hook(output, batch, batch_idx, *extra)
            if metrics.has_step_values("eval") and not trainer.is_sanity_checking:
                trainer.log_step_values("eval", seen + batch_idx)
            if not trainer.strategy.is_distributed:
                trainer.raise_if_terminated()
            done = batch_idx + 1
            yield output
        metrics.batch = None
        if not trainer.is_sanity_checking:
            self._seen[index] = seen + done
        self.current_batch_indices = None

    def _finish(self) -> None:
        trainer, metrics = self.trainer, self.trainer.metrics
        if self.kind != "predict":
            metrics.enter("eval", "epoch")
        values = metrics.close_epoch("eval", trainer.strategy)
        self._call("epoch_end")
        values |= metrics.close_epoch("eval", trainer.strategy)
        self.results = _by_loader(values, len(self._loaders))
        if trainer.is_sanity_checking:
            values = {}
        elif trainer.is_fitting:
            trainer.train_state.validated_at = trainer.train_state.total_batches
        stepped = trainer.train_state.stepped_batches
        trainer.log_values(values, max(0, stepped - 1) if trainer.is_fitting else stepped)
        with metrics.closed():
            self._call("end")
        metrics.reset("eval")
        metrics.leave()

    def _call(self, when: str) -> None:
        for hook in self._hooks[when]:
            hook()

    @contextlib.contextmanager
    def _evaluation_modes(self) -> Iterator[None]:
        """Put the model into evaluation mode inside the block; afterwards each submodule is as it was."""
        from trainer.module import LightningModule

        module, is_fitting, leave = (
            self.trainer.lightning_module,
            self.trainer.is_fitting,
            f"on_{self.kind}_model_train",
        )
        before = [(part, part.training) for part in module.modules()]
        # Gradients of an open accumulation window are still needed.
        if is_fitting and not self.trainer.is_sanity_checking and not self.trainer.train_state.window_batches:
            module.on_validation_model_zero_grad()
        getattr(module, f"on_{self.kind}_model_eval")()
        try:
            yield
        finally:
            if is_overridden(leave, module, LightningModule):
                getattr(module, leave)()
            else:
                for part, training in before:
                    part.training = training


class _Together:
    """Several loaders that give one batch together, in the form that the user's collection has."""

    def __init__(self, given: CombinedLoader, loaders: list[Any]) -> None:
        self._given = given
        self._loaders = loaders

    def __iter__(self) -> Iterator[Any]:
        combined = CombinedLoader(
            rebuild(self._given.iterables, [Begun(part) for part in self._loaders]), self._given.mode
        )
        return (batch for batch, _, _ in combined)


def _as_list(indices: Any) -> list[int]:
    """Return the indices of a batch; a loader without batching draws one at a time."""
    return list(indices) if isinstance(indices, list | tuple) else [indices]


def _by_loader(values: dict[str, float], loaders: int) -> list[dict[str, float]]:
    """Return the values of each loader; those without an index belong to all."""
    results: list[dict[str, float]] = [{} for _ in range(loaders)]
    for key, value in values.items():
        head, mark, index = key.rpartition("/dataloader_idx_")
        targets = [results[int(index)]] if mark and head else results
        for target in targets:
            target[key] = value
    return results
