"""The largest batch that fits into memory: try, and double until it does not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from trainer.data.loaders import list_loaders
from trainer.loops.evaluation import EvaluationLoop
from trainer.loops.hooks import is_overridden
from trainer.loops.loop import FitLoop
from trainer.loops.state import EVAL_KINDS
from trainer.tuner.attributes import get_value, set_value
from trainer.tuner.trial import trial
from trainer.utilities.memory import garbage_collection_cuda, is_oom_error

if TYPE_CHECKING:
    from trainer.trainer import Trainer


class _Search:
    """One search inside a run; `size` is the batch size that is set."""

    def __init__(self, trainer: Trainer, name: str, steps: int, max_val: int) -> None:
        self.trainer = trainer
        self.name = name
        self.steps = steps
        self.max_val = max_val
        self._samples: float | None = None

    @property
    def size(self) -> int:
        return int(get_value(self.trainer, self.name))

    @size.setter
    def size(self, size: int) -> None:
        set_value(self.trainer, self.name, size)

    def fits(self) -> bool:
        """Run a few steps with the size that is set; return whether memory sufficed."""
        fits = True
        with trial(self.trainer, []):
            try:
                self._run()
            except (RuntimeError, MemoryError) as error:
                if not is_oom_error(error):
                    raise
                fits = False
        if not fits:
            garbage_collection_cuda()
        return fits

    def _run(self) -> None:
        trainer = self.trainer
        limits: dict[str, Any] = {}
        kind = EVAL_KINDS.get(str(trainer.state.fn))
        if kind is not None:
            _, name = trainer.eval_limit(kind)
            limits[name] = self.steps
            trainer.length = dataclasses.replace(trainer.length, **limits)
            loop = EvaluationLoop(trainer, kind)
            loop.load_data()
            loop.run()
            return
        trainer.length = dataclasses.replace(
            trainer.length, max_steps=self.steps, max_epochs=-1, min_steps=None, min_epochs=None,
            limit_train_batches=1.0, limit_val_batches=self.steps,
        )  # fmt: skip
        FitLoop(trainer, trainer.make_train_loader(), None, None).run()
        from trainer.module import LightningModule

        written = is_overridden("validation_step", trainer.lightning_module, LightningModule)
        if written and trainer.sources.has("val"):
            validation = EvaluationLoop(trainer, "validation")
            validation.load_data()
            validation.run()

    def samples(self) -> float:
        """Return the samples of the data set, infinite where not known."""
        if self._samples is not None:
            return self._samples
        source = {"fit": "train", "validate": "val"}.get(str(self.trainer.state.fn), str(self.trainer.state.fn))
        lengths = []
        for loader in list_loaders(self.trainer.sources.loader(source)):
            try:
                lengths.append(len(loader.dataset))
            except (AttributeError, TypeError, NotImplementedError):
                lengths.append(-1)
        known = [length for length in lengths if length >= 0]
        self._samples = max(known) if known else float("inf")
        return self._samples

    def double(self) -> bool:
        """Set twice the size, at most `max_val`; return whether that is another one, and the data has so many."""
        before = self.size
        if before >= self.samples():
            return False
        self.size = min(2 * before, self.max_val)
        return self.size != before


def find_batch_size(
    trainer: Trainer,
    *,
    mode: str,
    steps_per_trial: int,
    init_val: int,
    max_trials: int,
    batch_arg_name: str,
    margin: float,
    max_val: int,
) -> int | None:
    """Search inside a run; set the size found and return it, None under `fast_dev_run`."""
    if trainer.fast_dev_run:
        trainer.warn_once("The batch size finder does nothing under `fast_dev_run`.")
        return None
    before = get_value(trainer, batch_arg_name)
    search = _Search(trainer, batch_arg_name, steps_per_trial, max_val)
    try:
        search.size = min(init_val, max_val)
        if mode == "power":
            _power(search, max_trials)
        else:
            _binary(search, max_trials)
            search.size = max(1, int(search.size * (1 - margin)))
    except BaseException:
        set_value(trainer, batch_arg_name, before)
        raise
    _load_again(trainer)
    trainer.print(f"Batch size set to {search.size}")
    return search.size


def _power(search: _Search, max_trials: int) -> None:
    """Double until memory does not suffice, then halve until it does."""
    any_fits = False
    for number in range(max_trials):
        if search.size >= search.max_val:
            return
        if search.fits():
            any_fits = True
            if number + 1 >= max_trials or not search.double():
                return
        else:
            search.size = max(1, search.size // 2)
            if any_fits:
                return


def _binary(search: _Search, max_trials: int) -> None:
    """Double until memory does not suffice, then halve the distance between what fits and what does not."""
    low, high, successes = 1, 0, 0
    while search.size < search.max_val:
        if search.fits():
            successes += 1
            low = search.size
            if successes >= max_trials or (high and high - low <= 1):
                return
            if high:
                search.size = (high + low) // 2
            elif not search.double():
                return
        else:
            high = search.size
            search.size = max(1, (high + low) // 2)
            if high - low <= 1:
                search.size = low
                return


def _load_again(trainer: Trainer) -> None:
    """Let the run go on with loaders of the size found."""
    if trainer.is_fitting:
        if trainer.train_loader is not None:
            trainer.make_train_loader()
        if "validation" in trainer.evaluations:
            trainer.evaluations["validation"].load_data()
    else:
        trainer.evaluations[EVAL_KINDS[str(trainer.state.fn)]].load_data()
