"""Requests to stop among processes that do not wait for each other after every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.strategies.shared_page import SharedPage

MOST_MESSAGES = 8
"""Up to so many processes each one sends to each other one, which costs least; more of them use a collective."""


class Round(Protocol):
    """One exchange that has begun."""

    def hear(self) -> tuple[int, int]:
        """Wait for it, and return the bits that any process said, and those that all said."""


class Announcements:
    """What the processes say after each step: bits that stand for requests.

    Waiting for each other after every step would cost them several per cent: each step would last as long as in the
    slower process, twice. So everyone says what it has and goes on; what the others said is read after the next step.
    Only who has something to say waits, which finds out whether all said the same.

    - What all processes ask for after one step happens after that step, as in a run of one process.
    - What only some ask for happens after the next one, by when everyone has heard of it.

    Every process comes to the same result after the same step. One object serves one run of training. After a run that
    failed it has to be kept: a connection of Gloo stands still for ever where a message finds its place gone.

    Args:
        begin: says bits in a round, the first of which is 0.
    """

    def __init__(self, begin: Callable[[int, int], Round]) -> None:
        self._begin = begin
        self._rounds = 0
        self._before: Round | None = None

    @classmethod
    def through_page(cls, page: SharedPage) -> Self:
        """Return announcements on one machine, in memory that the processes share."""
        return cls(lambda number, own: _Words(page, number, own))

    @classmethod
    def through_group(cls, group: dist.ProcessGroup, tag: int) -> Self:
        """Return announcements through a group of Gloo, in messages with a tag, or in collectives of many processes."""
        if group.size() <= MOST_MESSAGES:
            return cls(lambda _, own: _Messages(group, tag, own))
        return cls(lambda _, own: _Collective(group, own))

    def exchange(self, own: int) -> int:
        """Say `own` bits after a step; return the bits to act on now, the same on every process."""
        now = self._begin(self._rounds, own)
        self._rounds += 1
        before, _ = self._before.hear() if self._before is not None else (0, 0)
        self._before = now
        bits = before | (now.hear()[1] if own else 0)
        if bits:
            now.hear()  # the run may end here
        return bits

    def end(self) -> None:
        """Hear what is still on its way, at the end of a run; every process has said equally much."""
        if self._before is not None:
            self._before.hear()


class _Words:
    """A word in shared memory."""

    def __init__(self, page: SharedPage, number: int, own: int) -> None:
        self._page, self._number = page, number
        self._heard: tuple[int, int] | None = None
        page.write(number, own)

    def hear(self) -> tuple[int, int]:
        if self._heard is None:
            self._heard = self._page.read(self._number)  # kept, as later rounds take its place
        return self._heard


class _Messages:
    """A message to each of the other processes and one from each."""

    def __init__(self, group: dist.ProcessGroup, tag: int, own: int) -> None:
        others = [rank for rank in range(group.size()) if rank != group.rank()]
        self._own = torch.tensor([own])
        self._said = [torch.empty_like(self._own) for _ in others]
        self._received = [group.recv([said], rank, tag) for said, rank in zip(self._said, others, strict=True)]
        self._sent = [group.send([self._own], rank, tag) for rank in others]
        self._heard: tuple[int, int] | None = None

    def hear(self) -> tuple[int, int]:
        if self._heard is None:
            for work in (*self._received, *self._sent):
                work.wait()
            anyone = everyone = int(self._own)
            for said in self._said:
                anyone, everyone = anyone | int(said), everyone & int(said)
            self._heard = anyone, everyone
        return self._heard


class _Collective:
    """A maximum over all processes: of the bits, each in a place of its own, and of their opposites."""

    _BITS = 8

    def __init__(self, group: dist.ProcessGroup, own: int) -> None:
        bits = [own >> place & 1 for place in range(self._BITS)]
        self._held: Tensor = torch.tensor([*bits, *(1 - bit for bit in bits)])
        options = dist.AllreduceOptions()
        options.reduceOp = dist.ReduceOp(dist.ReduceOp.MAX)
        self._work = group.allreduce([self._held], options)
        self._heard: tuple[int, int] | None = None

    def hear(self) -> tuple[int, int]:
        if self._heard is None:
            self._work.wait()
            found = self._held.tolist()
            anyone = sum(bit << place for place, bit in enumerate(found[: self._BITS]))
            missing = sum(bit << place for place, bit in enumerate(found[self._BITS :]))
            self._heard = anyone, (1 << self._BITS) - 1 & ~missing
        return self._heard
