"""What the processes that write or read one folder tell each other, so that all go on or none."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from trainer.errors import CheckpointError

if TYPE_CHECKING:
    from trainer.strategies.strategy import Strategy

Told = str | int | list[Any] | dict[str, Any] | None
"""What one process tells the others: anything that JSON holds."""


_GROUPS: WeakKeyDictionary[Strategy, Any] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The processes of one folder.

    Attributes:
        rank: of this process.
        world: how many there are.
        gather: returns every process's bytes, in order of rank; None where there is one process.
    """

    rank: int = 0
    world: int = 1
    gather: Callable[[bytes], Sequence[bytes]] | None = None

    def together(self, work: Callable[[], Told], error: type[CheckpointError] = CheckpointError) -> list[Any]:
        """Let every process do its work and return what each has to tell; where one fails, all raise.

        Args:
            work: what this process does.
            error: what is raised where a process failed with something that is no error of this trainer.

        Raises:
            CheckpointError: a process failed; the same, of the class that it was of, on every process.
        """
        kinds: list[type[CheckpointError]] = [CheckpointError, *_kinds(CheckpointError)]
        failure: BaseException | None = None
        told: Told = None
        try:
            told = work()
        except Exception as problem:
            failure = problem
        kind = type(failure) if isinstance(failure, CheckpointError) and type(failure) in kinds else error
        mine = {"told": told, "problem": None if failure is None else _said(failure), "kind": kind.__name__}
        texts = [json.dumps(mine).encode()] if self.gather is None else self.gather(json.dumps(mine).encode())
        found = [json.loads(text) for text in texts]
        for rank, one in enumerate(found):
            if one["problem"] is not None:
                raised = next((kind for kind in kinds if kind.__name__ == one["kind"]), error)
                where = "" if self.world == 1 or raised is not error else f" (process {rank} of {self.world})"
                raise raised(one["problem"] + where) from failure
        return [one["told"] for one in found]

    def objects(self, value: Any) -> list[Any]:
        """Return every process's value; pickled, as between processes of one run, and never from a file."""
        if self.gather is None:
            return [value]
        return [pickle.loads(payload) for payload in self.gather(pickle.dumps(value))]


def exchange_of(strategy: Strategy) -> Exchange:
    """Return the exchange of a run's processes over the group that its steps use."""
    place = strategy.environment
    if not strategy.is_distributed:
        return Exchange()
    return Exchange(rank=place.rank, world=place.world_size, gather=strategy.gather_bytes)


def own_exchange(strategy: Strategy) -> Exchange:
    """Return an exchange over a group of its own, for what goes on beside the steps; all processes take part."""
    if not strategy.is_distributed:
        return Exchange()
    import torch.distributed as dist

    group: Any = _GROUPS.get(strategy)
    if group is None:
        options = {"timeout": strategy.timeout} if hasattr(strategy, "timeout") else {}
        group = _GROUPS[strategy] = dist.new_group(backend="gloo", **options)
    world = strategy.environment.world_size

    def gather(payload: bytes) -> list[bytes]:
        found: list[Any] = [None] * world
        dist.all_gather_object(found, payload, group=group)
        return found

    return Exchange(rank=strategy.environment.rank, world=world, gather=gather)


def _kinds(kind: type[CheckpointError]) -> list[type[CheckpointError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_kinds(child))]


def _said(failure: BaseException) -> str:
    """Return what went wrong, in one line; what a file system said, where torch wraps that."""
    if isinstance(failure, CheckpointError):
        return str(failure)
    first: BaseException | None = failure
    while first is not None and not isinstance(first, OSError):
        first = first.__cause__ or first.__context__
    return f"{type(failure).__name__}: {failure}" if first is None else str(first)
