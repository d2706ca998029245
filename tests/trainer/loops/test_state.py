"""The counters of a run."""

from __future__ import annotations

import pytest

from trainer.errors import CheckpointError
from trainer.loops.state import StopFlags, TrainState


def test_the_counters_come_back() -> None:
    state = TrainState(epoch=2, batches_done=3, global_step=15, epoch_ending=True)
    other = TrainState()
    other.load_state_dict(state.state_dict())
    assert other == state


def test_missing_counters_are_named() -> None:
    with pytest.raises(CheckpointError, match=r"lacks the training counters \['global_step'\]"):
        TrainState().load_state_dict({k: v for k, v in TrainState().state_dict().items() if k != "global_step"})


def test_an_epoch_is_complete_when_its_batches_are_done() -> None:
    state = TrainState(batches_done=3, epoch_batches=4)
    assert not state.is_epoch_complete
    state.batches_done = 4
    assert state.is_epoch_complete
    state.end_epoch()
    assert (state.epoch, state.batches_done, state.epoch_batches) == (1, 0, -1)


def test_flags_are_raised_and_lowered_apart() -> None:
    flags = StopFlags()
    flags.raise_flag(StopFlags.REQUESTED)
    flags.raise_flag(StopFlags.SIGTERM)
    flags.lower_flag(StopFlags.REQUESTED)
    assert (flags.has(StopFlags.REQUESTED), flags.has(StopFlags.SIGTERM)) == (False, True)
