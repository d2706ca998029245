"""Which processes do not answer: asked after an exchange has timed out, so that it costs nothing before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from traceback import walk_tb
from typing import cast

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store  # torch.distributed hides them from type checkers

from trainer.errors import LateRankError

ANSWER_S = 3.0
"""How long the processes may take to answer; all that wait time out within one step of each other."""
CALLED_S = 0.4
"""How long a process whose connection broke waits for one that timed out to call the roll."""
_CALLED = "called"
_AGREEING = ("agree", "exchange")


def explain_late(
    error: RuntimeError, *, rank: int, world_size: int, timeout: timedelta, place: str, in_a_hurry: Callable[[], bool]
) -> LateRankError | None:
    """Return the error that names the processes which did not arrive; None where none is late.

    Every process of the run that failed has to call this: that is how it answers.

    Args:
        error: what the exchange raised: it timed out, or a process that timed out broke the connection.
        rank: of this process.
        world_size: number of processes.
        timeout: how long exchanges wait.
        place: where training stood.
        in_a_hurry: whether this process is to end now.
    """
    if not dist.is_initialized():
        return None
    text = str(error).lower()
    is_late = "timed out" in text or "timeout" in text
    roll = _Roll(rank, world_size, calls=is_late, in_a_hurry=in_a_hurry)
    absent = roll.absent()
    if not absent:
        return None
    operation, seconds = operation_of(error), timeout.total_seconds()
    who = f"rank {absent[0]}" if len(absent) == 1 else f"ranks {', '.join(map(str, absent))}"
    return LateRankError(
        f"{who[0].upper()}{who[1:]} did not arrive at {operation} ({place}) within {seconds:g} s: stopped, hanging, or "
        f"on a machine that cannot be reached. Got no answer of {who}; expected all {world_size} processes. Look at "
        "what that process does (its log, `py-spy dump`), or give more time with the strategy's `timeout`.",
        late_ranks=absent,
        operation=operation,
    )


def operation_of(error: BaseException) -> str:
    """Return the name of the exchange that raised `error`, as its traceback has it."""
    found = ""
    for frame, _ in walk_tb(error.__traceback__):
        file, name = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name
        if file.endswith("torch/autograd/graph.py"):
            found = "all_reduce of gradients"
        elif file.endswith("torch/distributed/distributed_c10d.py") and name not in ("wrapper", "wait"):
            return name
        elif "/torch/distributed/fsdp/" in file and not found:
            found = "all_gather of parameters"
        elif file.endswith(("trainer/strategies/ddp.py", "announcing.py")) and name in _AGREEING and not found:
            found = "the agreement after a batch"
    return found or "an exchange"


class _Roll:
    """The store that the processes met at, where each one still alive writes its name."""

    def __init__(self, rank: int, world_size: int, *, calls: bool, in_a_hurry: Callable[[], bool]) -> None:
        self._rank = rank
        self._world_size = world_size
        self._calls = calls
        self._in_a_hurry = in_a_hurry
        self._absent: list[int] = []
        self._is_answered = False

    def absent(self) -> list[int]:
        """Return the ranks that do not answer."""
        # The process that holds the store may be the one that hangs, and then some requests never return.
        asking = threading.Thread(target=self._ask, name="roll-call", daemon=True)
        asking.start()
        asking.join(ANSWER_S + 1.0)
        if asking.is_alive() and self._calls:
            return [0]
        return self._absent if self._is_answered else []

    def _ask(self) -> None:
        try:
            store: Store = PrefixStore("trainer/roll-call", dist.distributed_c10d._get_default_store())
            store.set(str(self._rank), "here")
            if self._calls:
                store.set(_CALLED, "now")
            elif not self._hears(store):
                return
            until_s = time.monotonic() + ANSWER_S
            for rank in range(self._world_size):
                if not self._has(store, str(rank), max(0.05, until_s - time.monotonic())):
                    self._absent.append(rank)
            self._is_answered = True
        except RuntimeError:  # the process that held the store has ended
            return

    def _hears(self, store: Store) -> bool:
        """Return whether another process calls the roll."""
        until_s = time.monotonic() + CALLED_S
        while time.monotonic() < until_s and not self._in_a_hurry():
            if self._has(store, _CALLED, 0.05):
                return True
        return False

    @staticmethod
    def _has(store: Store, key: str, within_s: float) -> bool:
        try:
            cast("Callable[[list[str], timedelta], None]", store.wait)([key], timedelta(seconds=within_s))
        except dist.DistStoreError:  # not there in time
            return False
        return True
