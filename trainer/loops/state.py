"""Where a run stands: the counters a resume needs, the stop requests, and what is going on now."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum

from trainer.errors import CheckpointError
from trainer.types import EvalKind, PlainState, Stage


@dataclass(slots=True, kw_only=True)
class TrainState:
    """The counters of training. Batches and optimizer steps are counted apart.

    Attributes:
        epoch: index of the current epoch.
        batches_done: training batches of this epoch whose step is done.
        total_batches: training batches done over all epochs.
        global_step: optimizer steps, over all optimizers.
        stepped_batches: batches that ended with an optimizer step; the x axis of the loggers.
        logged_at: `total_batches` when step values last went to the loggers.
        validated_at: `total_batches` when validation last ended, -1 before.
        settled_at: `total_batches` when all that follows a batch was last done.
        epoch_ending: the end-of-epoch hooks of this epoch have begun.
        window_batches: batches in the open accumulation window.
        epoch_batches: training batches that this epoch has in all, -1 while unknown.
    """

    epoch: int = 0
    batches_done: int = 0
    total_batches: int = 0
    global_step: int = 0
    stepped_batches: int = 0
    logged_at: int = 0
    validated_at: int = -1
    settled_at: int = 0
    epoch_ending: bool = False
    window_batches: int = 0
    epoch_batches: int = -1

    def state_dict(self) -> PlainState:
        """Return the counters as plain data."""
        return asdict(self)

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Take over counters that `state_dict` returned.

        Raises:
            CheckpointError: a counter is missing.
        """
        missing = [field.name for field in fields(self) if field.name not in state_dict]
        if missing:
            raise CheckpointError(
                f"The checkpoint lacks the training counters {missing}; it has {sorted(state_dict)}. "
                "It was not written by this trainer: load its weights with `load_from_checkpoint` instead of resuming."
            )
        for field in fields(self):
            setattr(self, field.name, state_dict[field.name])

    @property
    def is_epoch_complete(self) -> bool:
        """Return whether every batch of the current epoch was done."""
        return self.batches_done == self.epoch_batches

    def end_epoch(self) -> None:
        """Leave the current epoch for the next one."""
        self.epoch += 1
        self.batches_done = 0
        self.epoch_ending = False
        self.epoch_batches = -1


class StopFlags:
    """Requests to stop. `bits` is the only thing the loop looks at in an ordinary step.

    Several processes act on what they have agreed on: else one would stop after a batch, and wait for the others.

    Attributes:
        bits: the requests to act on.
        noted: the requests of this process.
        is_shared: what is noted waits until the processes agree.
    """

    REQUESTED = 1
    SIGTERM = 2
    __slots__ = ("bits", "is_shared", "noted")

    def __init__(self) -> None:
        self.bits = self.noted = 0
        self.is_shared = False

    def raise_flag(self, flag: int) -> None:
        """Note a request."""
        self.noted |= flag
        if not self.is_shared:
            self.bits |= flag

    def lower_flag(self, flag: int) -> None:
        """Forget a request."""
        self.bits &= ~flag
        self.noted &= ~flag

    def has(self, flag: int) -> bool:
        """Return whether `flag` was raised."""
        return bool((self.bits | self.noted) & flag)

    def share(self) -> None:
        """Let requests wait until the processes agree, those noted already too."""
        self.noted |= self.bits
        self.bits, self.is_shared = 0, True

    def agreed(self, bits: int) -> None:
        """Act on what the processes agreed on; what was noted while they did waits for the next time."""
        self.bits = bits
        self.noted |= bits


class Status(StrEnum):
    """How the last or current call of the trainer stands."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"


class RunningStage(StrEnum):
    """Which kind of batches run at this moment."""

    TRAINING = "train"
    SANITY_CHECKING = "sanity_check"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"


class TrainerFn(StrEnum):
    """What the trainer was asked for; each equals its text."""

    FITTING = "fit"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"


TrainerStatus = Status

EVAL_KINDS: dict[str, EvalKind] = {"validate": "validation", "test": "test", "predict": "predict"}
"""Stages as methods of the trainer are called, and as the names of their hooks have them."""
EVAL_STAGES: dict[EvalKind, RunningStage] = {
    "validation": RunningStage.VALIDATING,
    "test": RunningStage.TESTING,
    "predict": RunningStage.PREDICTING,
}


@dataclass(slots=True)
class RunState:
    """What the trainer is doing: the function called, its status, the stage inside it, the place in the epoch."""

    fn: Stage | None = None
    status: Status = Status.INITIALIZING
    stage: RunningStage | None = None
    is_last_batch: bool = False
    batch_idx: int = -1

    @property
    def finished(self) -> bool:
        """Return whether the last call ended well."""
        return self.status is Status.FINISHED

    @property
    def stopped(self) -> bool:
        """Return whether the last call ended, well or not."""
        return self.status in (Status.FINISHED, Status.INTERRUPTED)


TrainerState = RunState
