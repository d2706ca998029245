"""What users read from a trainer's loops, under Lightning's names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.loops.evaluation import EvaluationLoop
    from trainer.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Count:
    """How often something was done: over all epochs, or in the current one."""

    ready: int
    completed: int

    @property
    def started(self) -> int:
        """Return the same as `ready`: nothing fails between the two here."""
        return self.ready

    @property
    def processed(self) -> int:
        """Return the same as `completed`."""
        return self.completed


@dataclass(frozen=True, slots=True)
class Progress:
    """How far batches or epochs have come.

    Attributes:
        total: over the whole fit.
        current: in the current epoch.
        is_last_batch: the current batch is the last of its epoch.
    """

    total: Count
    current: Count
    is_last_batch: bool = False


class EpochLoopView:
    """The batches of the current epoch."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    @property
    def global_step(self) -> int:
        """Return the optimizer steps, over all optimizers."""
        return self._trainer.global_step

    @property
    def batch_idx(self) -> int:
        """Return the index of the current batch, or of the one done last, in its epoch; -1 before the first."""
        return self._done - (not self._is_in_batch)

    @property
    def total_batch_idx(self) -> int:
        """Return the same, counted over all epochs."""
        return self._trainer.train_state.total_batches - (not self._is_in_batch)

    @property
    def _done(self) -> int:
        """Return the batches done, of the last epoch where no other has begun."""
        done = self._trainer.train_state.batches_done
        return done if done or self._is_in_batch else self._trainer.state.batch_idx + 1

    @property
    def _is_in_batch(self) -> bool:
        trainer = self._trainer
        return trainer.state.batch_idx == trainer.train_state.batches_done and trainer.metrics.batch is not None

    @property
    def batch_progress(self) -> Progress:
        """Return the batches done."""
        state = self._trainer.train_state
        running = int(self._is_in_batch)
        return Progress(
            total=Count(state.total_batches + running, state.total_batches),
            current=Count(self._done + running, self._done),
            is_last_batch=self._trainer.is_last_batch,
        )

    @property
    def _batches_that_stepped(self) -> int:
        return self._trainer.train_state.stepped_batches

    @property
    def max_steps(self) -> int:
        """Return the limit of optimizer steps, -1 without one."""
        return self._trainer.max_steps

    @property
    def min_steps(self) -> int | None:
        """Return the optimizer steps that early stopping has to wait for."""
        return self._trainer.min_steps

    @property
    def val_loop(self) -> EvaluationLoop | None:
        """Return the validation of the fit, None where it does not validate."""
        return self._trainer.evaluations.get("validation")


class FitLoopView:
    """The epochs of a fit."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.epoch_loop = EpochLoopView(trainer)

    @property
    def current_epoch(self) -> int:
        """Return the index of the current epoch."""
        return self._trainer.current_epoch

    @property
    def epoch_progress(self) -> Progress:
        """Return the epochs done."""
        done = self._trainer.current_epoch
        count = Count(done + self._trainer.is_fitting, done)
        return Progress(total=count, current=count)

    @property
    def max_epochs(self) -> int | None:
        """Return the limit of epochs, -1 without one; None until a fit decides it. It may be set, to train on."""
        return self._trainer.max_epochs

    @max_epochs.setter
    def max_epochs(self, epochs: int | None) -> None:
        self._trainer._knows_epochs = True
        self._trainer.length = replace(self._trainer.length, max_epochs=-1 if epochs is None else epochs)

    @property
    def min_epochs(self) -> int | None:
        """Return the epochs that early stopping has to wait for; it may be set."""
        return self._trainer.min_epochs

    @min_epochs.setter
    def min_epochs(self, epochs: int | None) -> None:
        self._trainer.length = replace(self._trainer.length, min_epochs=epochs)

    @property
    def max_steps(self) -> int:
        """Return the limit of optimizer steps, -1 without one; it may be set."""
        return self._trainer.max_steps

    @max_steps.setter
    def max_steps(self, steps: int) -> None:
        self._trainer.length = replace(self._trainer.length, max_steps=steps)

    @property
    def min_steps(self) -> int | None:
        """Return the optimizer steps that early stopping has to wait for."""
        return self._trainer.min_steps

    @property
    def max_batches(self) -> float:
        """Return the training batches of an epoch on this process, `math.inf` where not known."""
        return self._trainer.num_training_batches

    @property
    def global_step(self) -> int:
        """Return the optimizer steps, over all optimizers."""
        return self._trainer.global_step

    @property
    def batch_idx(self) -> int:
        """Return the index of the current batch in its epoch."""
        return self.epoch_loop.batch_idx

    @property
    def total_batch_idx(self) -> int:
        """Return the index of the current batch, counted over all epochs."""
        return self.epoch_loop.total_batch_idx

    @property
    def is_done(self) -> bool:
        """Return whether a limit of epochs or steps is reached."""
        length, state = self._trainer.length, self._trainer.train_state
        return state.global_step >= length.max_steps > -1 or state.epoch >= length.max_epochs > -1
