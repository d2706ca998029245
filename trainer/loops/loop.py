"""The training loop: one straight loop over batches; everything it needs is bound before it starts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from trainer.data.loaders import TrainLoader
from trainer.data.transfer import choose_transfer
from trainer.errors import SIGTERMException, UnevenBatchesError
from trainer.loops.evaluation import EvaluationLoop
from trainer.loops.hooks import bind, callback_hooks, module_hooks
from trainer.loops.state import RunningStage, StopFlags
from trainer.loops.steps import TrainStep, bind_training_step, build_step
from trainer.optimization.optimizers import LRSchedulerConfig, SchedulerSteps
from trainer.profilers.weave import profiled, profiled_items
from trainer.seed import restore_rng
from trainer.types import Batch, PlainState, StepOutput

if TYPE_CHECKING:
    from trainer.trainer import Trainer


class FitLoop:
    """Epochs of training with validation in between, until one of the limits is reached.

    Args:
        trainer: the trainer of the run, with optimizers and state ready.
        loader: the training loader.
        evaluation: what validates, None where there is no validation.
        position: where the loader stood, to go on inside an epoch; None to begin epochs only.
    """

    def __init__(
        self, trainer: Trainer, loader: TrainLoader, evaluation: EvaluationLoop | None, position: PlainState | None
    ) -> None:
        self.trainer = trainer
        self.state = trainer.train_state
        self.loader = loader
        self.evaluation = evaluation
        self.position = position
        self.scheduler_configs: list[LRSchedulerConfig] | None = None
        self.step_settings: tuple[float, int] | None = None
        self._current_schedulers()
        self.is_distributed = trainer.strategy.is_distributed
        if self.is_distributed:
            trainer.flags.share()
        self.announcements = trainer.strategy.announcements()
        self.last_logged = self.state.stepped_batches
        self.log_every = max(1, trainer.reporting.log_every_n_steps)
        self.validates_every = trainer.validation.batches_between(loader.num_batches)
        self.seconds_between = trainer.validation.seconds_between
        self.validated_at_s = 0.0
        self.epoch_start = bind(trainer, "on_train_epoch_start")
        self.batch_start = bind(trainer, "on_train_batch_start")
        self.batch_end = bind(trainer, "on_train_batch_end")
        watchers = [callback for callback in trainer.callbacks if callback.is_monitor]
        others = [callback for callback in trainer.callbacks if not callback.is_monitor]
        name = "on_train_epoch_end"
        self.epoch_end = callback_hooks(trainer, name, others) + module_hooks(trainer, name)
        self.epoch_end_monitors = callback_hooks(trainer, name, watchers)

    def run(self) -> None:
        """Train until a limit is reached; at once, where it is reached already."""
        trainer, state = self.trainer, self.state
        if state.epoch_ending and state.is_epoch_complete:
            self._leave_epoch()
        state.epoch_ending = False
        # What follows the last batch may be missing from a run that was stopped right after it.
        pending = state.batches_done > 0 and (state.settled_at != state.total_batches or state.is_epoch_complete)
        if self.loader.num_batches == 0 or (self.is_done() and not pending):
            return
        self.bound_step = bind_training_step(trainer)
        epoch = profiled(trainer, "run_training_epoch", self._epoch)
        self.move = choose_transfer(trainer)
        self.validated_at_s = time.monotonic()
        trainer.metrics.enter("train", "epoch")
        for hook in bind(trainer, "on_train_start"):
            hook()
        while pending or not self.is_done():
            epoch()
            pending = False
        if self.announcements is not None:
            self.announcements.end()
        trainer.metrics.leave()
        for hook in bind(trainer, "on_train_end"):
            hook()

    def _epoch(self) -> None:
        trainer, state, metrics, flags = self.trainer, self.state, self.trainer.metrics, self.trainer.flags
        batches = profiled_items(trainer, "[_TrainingEpochLoop].train_dataloader_next", self._enter_epoch())
        schedulers, step = self._current_schedulers(), self._current_step()
        loader, move, settle = self.loader, self.move, self._settle
        batch_start, batch_end, after_step = self.batch_start, self.batch_end, schedulers.after_step
        total, max_steps, run = loader.num_batches, trainer.length.max_steps, trainer.state

        for batch in batches:
            if move is not None:
                batch = move(batch)
            index = state.batches_done
            is_last = run.is_last_batch = index + 1 == total or loader.peeked_last
            metrics.batch, run.batch_idx = batch, index
            if batch_start and -1 in [hook(batch, index) for hook in batch_start]:
                state.epoch_batches = index  # the rest of the epoch is skipped
                break

            output = step(batch, index, is_last)

            state.batches_done = index + 1
            state.total_batches += 1
            if state.window_batches == 0:
                state.stepped_batches += 1
                if after_step:
                    schedulers.update(after_step, state.stepped_batches)
            if is_last:
                state.epoch_batches = index + 1
                schedulers.update(schedulers.after_epoch, state.epoch + 1)
            if batch_end:
                outputs = _detached(output)
                for hook in batch_end:
                    hook(outputs, batch, index)
            settle(is_last)
            if is_last:
                continue  # the loader finds its own end
            if flags.bits and self._may_stop_early():
                break
            if state.global_step >= max_steps > -1:
                break
        metrics.batch = None
        self._end_epoch()

    def _current_step(self) -> TrainStep:
        """Return the training step, built anew where hooks of the epoch's start changed what it depends on."""
        settings = (self.loader.num_batches, self.trainer.accumulate_grad_batches)
        if settings != self.step_settings:
            self.step_settings = settings
            step = build_step(self.trainer, self.bound_step, self.loader.num_batches)
            self.step = profiled(self.trainer, "run_training_batch", step)
        return self.step

    def _current_schedulers(self) -> SchedulerSteps:
        """Return what steps the schedulers; hooks of the epoch's start may have replaced some."""
        configs = self.trainer.lr_scheduler_configs
        if configs != self.scheduler_configs:
            self.scheduler_configs = list(configs)
            self.step_settings = None  # a new scheduler changes the optimizer's `step`
            # Under manual optimisation the user's code steps the schedulers too.
            automatic = self.trainer.lightning_module.automatic_optimization
            self.schedulers = SchedulerSteps(self.trainer, configs if automatic else [])
        return self.schedulers

    def _enter_epoch(self) -> Iterator[Batch]:
        """Return the batches to run, of a new epoch or of the rest of a half-finished one."""
        trainer, state = self.trainer, self.state
        trainer.enter_stage(RunningStage.TRAINING)
        trainer.metrics.enter("train", "epoch")
        position, self.position = self.position, None
        if position is not None and not state.batches_done:
            self.loader.place_before_epoch(position)
            restore_rng(position["rng"])
            position = None
        if position is None:
            trainer.metrics.reset("train")
            self._reload()
        self._check_even()
        for hook in self.epoch_start:
            hook()
        if self.trainer.train_loader is not None:
            self.loader = self.trainer.train_loader  # a hook may have had it made again, with another batch size
        trainer.metrics.enter("train", "batch")
        if position is None:
            batches = self.loader.start_epoch(state.epoch)
        else:
            batches = self.loader.continue_epoch(state.epoch, state.batches_done, position)
            restore_rng(position["rng"])
            if state.settled_at != state.total_batches:
                self._settle(state.is_epoch_complete)
            if self.is_done():
                return iter(())
        if not state.is_epoch_complete:
            state.epoch_batches = -1 if math.isinf(self.loader.num_batches) else int(self.loader.num_batches)
        return batches

    def _settle(self, is_last: bool) -> None:
        """Do what may follow a batch: logging, validation, plateau schedulers; each once, also after a resume."""
        trainer, state = self.trainer, self.state
        now = state.total_batches
        steps = state.window_batches == 0
        if state.logged_at != now:
            state.logged_at = now
            if steps and (is_last or state.stepped_batches % self.log_every == 0):
                self._log_step()
        if self.is_distributed:
            self._agree(is_last)
        if self.evaluation is not None and state.validated_at != now and self._validates_now(is_last):
            self.evaluation.run()
            if self.is_distributed:
                self._share_flags()
            self.validated_at_s = time.monotonic()
            trainer.enter_stage(RunningStage.TRAINING)
            trainer.metrics.enter("train", "batch")
        if steps and self.schedulers.plateau_after_step:
            self.schedulers.update(self.schedulers.plateau_after_step, state.stepped_batches)
        state.settled_at = now

    def _log_step(self) -> None:
        self.last_logged = self.state.stepped_batches
        if self.trainer.reporting.log_every_n_steps:
            self.trainer.log_step_values("train", self.last_logged - 1)

    def _validates_now(self, is_last: bool) -> bool:
        trainer, state = self.trainer, self.state
        every_epochs = trainer.validation.check_val_every_n_epoch
        if every_epochs is not None and (state.epoch + 1) % every_epochs:
            return False
        if trainer.flags.bits and self._may_stop_early():
            return True
        if self.seconds_between is not None:
            is_due = time.monotonic() - self.validated_at_s >= self.seconds_between
            return bool(trainer.strategy.agree([is_due])[0]) if self.is_distributed else is_due
        if math.isinf(self.validates_every):
            return is_last
        count = state.total_batches if every_epochs is None else state.batches_done
        return count % int(self.validates_every) == 0

    def _end_epoch(self) -> None:
        trainer, state, metrics = self.trainer, self.state, self.trainer.metrics
        metrics.enter("train", "epoch")
        if self.last_logged != state.stepped_batches:
            self._log_step()
        values = metrics.close_epoch("train", trainer.strategy)
        state.epoch_ending = True
        for hook in self.epoch_end:
            hook()
        values |= metrics.close_epoch("train", trainer.strategy)
        trainer.log_values(values, state.stepped_batches - 1)
        for hook in self.epoch_end_monitors:
            hook()
        if state.is_epoch_complete:
            self._leave_epoch()
        else:
            # Stopped inside the epoch: a later fit, or a resume, goes on from here.
            state.epoch_ending = False
        trainer.save_loggers()

    def _leave_epoch(self) -> None:
        self.schedulers.update(self.schedulers.plateau_after_epoch, self.state.epoch + 1)
        self.state.end_epoch()

    def is_done(self) -> bool:
        """Return whether a limit is reached or a stop was asked for."""
        length, state = self.trainer.length, self.state
        if self.is_distributed:
            self._share_flags()
        if self.trainer.flags.bits and self._may_stop_early():
            return True
        reached_steps = state.global_step >= length.max_steps > -1
        return reached_steps or state.epoch >= length.max_epochs > -1

    def _may_stop_early(self) -> bool:
        """Return whether the stop that was asked for may happen now.

        Raises:
            SIGTERMException: the process was asked to end.
        """
        length, state, bits = self.trainer.length, self.state, self.trainer.flags.bits
        if bits & StopFlags.SIGTERM and not state.window_batches:
            raise SIGTERMException.of_all_processes()
        if not bits & StopFlags.REQUESTED:
            return False  # inside an accumulation window, from where another number of processes could not go on
        return state.epoch >= (length.min_epochs or 0) and state.global_step >= (length.min_steps or 0)

    def _reload(self) -> None:
        every = self.trainer.data.reload_dataloaders_every_n_epochs
        if every and self.state.epoch and self.state.epoch % every == 0:
            self.loader = self.trainer.make_train_loader()
            self.validates_every = self.trainer.validation.batches_between(self.loader.num_batches)
            if self.evaluation is not None:
                self.evaluation.load_data()

    # What processes agree on

    def _check_even(self) -> None:
        if not self.is_distributed:
            return
        length = -1 if math.isinf(self.loader.num_batches) else int(self.loader.num_batches)
        longest, shortest = self.trainer.strategy.agree([length, -length])
        if longest != -shortest:
            raise UnevenBatchesError(
                "The processes have different numbers of training batches, so some would wait for ever. "
                f"Got {length} here, {-shortest} to {longest} over all (-1: unknown); expected one number. "
                "Let the trainer split the data (use_distributed_sampler=True with a dataset that has a length), or "
                f"pass limit_train_batches={max(1, -shortest)}."
            )

    def _agree(self, is_last: bool) -> None:
        """After a batch: a request to stop counts for all, and nobody may be at the end alone.

        Where the number of batches is known, and with it the end, nobody waits for the others (`Announcements`).
        """
        flags, strategy = self.trainer.flags, self.trainer.strategy
        if self.announcements is not None and not math.isinf(self.loader.num_batches):
            own = StopFlags.REQUESTED * flags.has(StopFlags.REQUESTED) | StopFlags.SIGTERM * flags.has(
                StopFlags.SIGTERM
            )
            flags.agreed(self.announcements.exchange(own))
            return
        some_end, some_go_on, requested, sigterm = strategy.agree(
            [is_last, not is_last, flags.has(StopFlags.REQUESTED), flags.has(StopFlags.SIGTERM)]
        )
        if some_end and some_go_on:
            raise UnevenBatchesError(
                "A process ran out of training batches while others go on. Got the end on "
                f"{'this' if is_last else 'another'} process at batch {self.state.batches_done}; expected the same "
                "number everywhere. Pass limit_train_batches with a number that every process can reach."
            )
        flags.agreed(StopFlags.REQUESTED * requested | StopFlags.SIGTERM * sigterm)

    def _share_flags(self) -> None:
        flags = self.trainer.flags
        requested, sigterm = self.trainer.strategy.agree([flags.has(StopFlags.REQUESTED), flags.has(StopFlags.SIGTERM)])
        flags.agreed(StopFlags.REQUESTED * requested | StopFlags.SIGTERM * sigterm)


def _detached(output: StepOutput) -> StepOutput:
    """Return what `on_train_batch_end` gets: a dict with the loss, without its graph."""
    if isinstance(output, Tensor):
        return {"loss": output.detach()}
    if isinstance(output, Mapping):
        return {key: value.detach() if isinstance(value, Tensor) else value for key, value in output.items()}
    return output
