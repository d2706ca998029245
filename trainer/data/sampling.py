"""The stream of indices a loader reads: split over processes, entered in the middle, never re-created."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler, SequentialSampler

from trainer.seed import seed_for_item

ShareBytes = Callable[[bytes], bytes]
"""Returns rank zero's bytes on every process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """This process's part of a stream: every `world_size`-th item from `rank` on.

    Attributes:
        rank: 0 to world_size - 1.
        world_size: number of processes.
        repeats: fill up to equal parts with the first items; for training, where all must take equally many steps.
        drops: leave out the last items that do not fill equal parts.
        share: gives every process rank zero's random order.
    """

    rank: int
    world_size: int
    repeats: bool
    drops: bool
    share: ShareBytes

    def part(self, stream: Iterable[Any]) -> Iterator[Any]:
        """Yield this process's items of `stream`."""
        iterator = iter(stream)
        first: list[Any] = []
        while group := list(islice(iterator, self.world_size)):
            first = first or group
            if len(group) < self.world_size:
                if self.drops:
                    return
                while self.repeats and len(group) < self.world_size:
                    group += first[: self.world_size - len(group)]
            if self.rank < len(group):
                yield group[self.rank]

    def size(self, total: int) -> int:
        """Return how many items `part` yields of `total`."""
        if self.drops:
            return total // self.world_size
        if self.repeats:
            return math.ceil(total / self.world_size)
        return len(range(self.rank, total, self.world_size))


class IndexStream:
    """Stands in a loader's view where its sampler or batch sampler stood.

    Attributes:
        source: the user's own sampler or batch sampler, iterated anew for each epoch.
        skip: how many items iterations leave out, until `enter`; their samples are never loaded.
        given: where the items given are noted, in their order; None where nobody asks.
        key: from `pass_key`, for workers that seed their generators for each item; None where they do not.
    """

    def __init__(self, source: Any, split: Split | None) -> None:  # samplers share no useful type
        self.source = source
        self.split = split
        self.skip = 0
        self.given: deque[Any] | None = None
        self.key: bytes | None = None
        self._live: _Entered | None = None

    def __iter__(self) -> Iterator[Any]:
        # A loader with workers asks twice before it reads, so `skip` stays until the loader was entered.
        items = self._items() if self.given is None else self._noted(self.given)
        if self.key is not None:
            items = map(partial(PlacedItem, self.key), count(), items)
        self._live = _Entered(items, self.skip)
        return self._live

    def enter(self) -> None:
        """Leave out what has to be left out now, so that the generators are where they were after those items."""
        self.skip = 0
        if self._live is not None:
            self._live.enter()

    def _noted(self, given: deque[Any]) -> Iterator[Any]:
        for item in self._items():
            given.append(item)
            yield item

    def _items(self) -> Iterator[Any]:
        split = self.split
        if split is None:
            yield from self.source
        elif _is_plain_batching(self.source):
            indices = split.part(_shared_order(self.source.sampler, split))
            while batch := list(islice(indices, self.source.batch_size)):
                if len(batch) == self.source.batch_size or not self.source.drop_last:
                    yield batch
        else:
            yield from split.part(_shared_order(self.source, split))

    def __len__(self) -> int:
        total: int = len(self.source)
        if self.split is None:
            return total
        if _is_plain_batching(self.source):
            samples = self.split.size(len(self.source.sampler))
            batches = samples / int(self.source.batch_size)
            return math.floor(batches) if self.source.drop_last else math.ceil(batches)
        return self.split.size(total)


class PlacedItem:
    """An item on its way to a worker. It arrives as it was, with the worker's generators seeded for its place.

    So random draws in a dataset depend on the pass and the item alone: not on the items that the worker had before,
    which a resumed run does not load again.
    """

    __slots__ = ("index", "item", "key")

    def __init__(self, key: bytes, index: int, item: Any) -> None:
        self.key, self.index, self.item = key, index, item

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _arrive, (self.key, self.index, self.item)


def _arrive(key: bytes, index: int, item: Any) -> Any:
    seed_for_item(key, index)
    return item


class _Entered:
    """An iterator that leaves out its first items when it is first used, or when told."""

    def __init__(self, items: Iterator[Any], skip: int) -> None:
        self._items = items
        self._skip = skip

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._skip:
            self.enter()
        return next(self._items)

    def enter(self) -> None:
        for _ in islice(self._items, self._skip):
            pass
        self._skip = 0


def _is_plain_batching(source: object) -> bool:
    return type(source) is BatchSampler


def _shared_order(sampler: Any, split: Split) -> Iterable[Any]:
    """Return `sampler`, drawing the same order on every process where it draws from a torch generator."""
    if not hasattr(sampler, "generator"):
        return sampler  # type: ignore[no-any-return]  # an iterable of the user's
    shared = copy.copy(sampler)
    if sampler.generator is None:
        # The same draw as torch's RandomSampler makes here, so that one process and several have one order.
        seed = int(torch.empty((), dtype=torch.int64).random_().item())
        seed = int.from_bytes(split.share(seed.to_bytes(8, "little", signed=True)), "little", signed=True)
        shared.generator = torch.Generator().manual_seed(seed)
    else:
        state = split.share(bytes(sampler.generator.get_state().numpy()))
        sampler.generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    return shared  # type: ignore[no-any-return]  # as above


def is_split_already(loader: DataLoader[Any]) -> bool:
    """Return whether the user's loader has a distributed sampler of its own."""
    inner = getattr(loader.batch_sampler, "sampler", None)
    return isinstance(loader.sampler, DistributedSampler) or isinstance(inner, DistributedSampler)


def view_loader(
    loader: DataLoader[Any],
    *,
    split: Split | None = None,
    in_order: bool = False,
    worker_init: Callable[[int], None] | None = None,
) -> tuple[DataLoader[Any], IndexStream]:
    """Return a view of `loader` that reads its indices through a stream, and the stream.

    The view shares everything with the user's loader, which is neither changed nor built again: its class, its
    arguments and its samplers may be of any kind.

    Args:
        loader: a loader of a dataset with indices.
        split: this process's part of the stream.
        in_order: read a shuffled dataset in order instead; for `overfit_batches`.
        worker_init: called in each worker when the user gave nothing of the kind.
    """
    view = copy.copy(loader)
    name = "sampler" if loader.batch_sampler is None else "batch_sampler"
    source: Any = getattr(loader, name)
    if in_order and isinstance(loader.sampler, RandomSampler):
        ordered = SequentialSampler(loader.dataset)  # type: ignore[arg-type]  # it has indices, hence a length
        source = (
            ordered
            if loader.batch_sampler is None
            else BatchSampler(ordered, batch_size=int(loader.batch_size or 1), drop_last=loader.drop_last)
        )
    stream = IndexStream(source, split)
    # DataLoader refuses assignment to these names; the view is ours alone.
    view.__dict__[name] = stream
    view.__dict__["_iterator"] = None
    if worker_init is not None and loader.worker_init_fn is None:
        view.__dict__["worker_init_fn"] = worker_init
    return view, stream
