"""Several iterables read as one, in four ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, Self, TypeAlias, get_args

from torch.utils._pytree import SUPPORTED_NODES, tree_structure, tree_unflatten

Mode: TypeAlias = Literal["min_size", "max_size_cycle", "max_size", "sequential"]
MODES: tuple[str, ...] = get_args(Mode)
Item: TypeAlias = tuple[Any, int, int]
"""(values, batch_idx, dataloader_idx): a list of values, or one value in the sequential mode."""


def flatten(collection: Any) -> list[Any]:
    """Return the iterables in nested dicts, lists and tuples; a container of numbers or texts is one iterable."""
    if isinstance(collection, tuple) and hasattr(collection, "_fields"):
        children = list(collection)
    elif type(collection) in SUPPORTED_NODES:
        children, _ = SUPPORTED_NODES[type(collection)].flatten_fn(collection)
    else:
        return [collection]
    if all(isinstance(child, int | float | str) for child in children):
        return [collection]
    return [leaf for child in children for leaf in flatten(child)]


def _is_leaf(value: Any) -> bool:
    leaves = flatten(value)
    return len(leaves) == 1 and leaves[0] is value


def rebuild(collection: Any, leaves: list[Any]) -> Any:
    """Return a collection of the form of `collection` that holds `leaves`."""
    return tree_unflatten(leaves, tree_structure(collection, is_leaf=_is_leaf))


def combined_length(mode: str, lengths: Iterable[float], limits: Iterable[float] | None = None) -> float:
    """Return how many items a combination yields, `math.inf` where an unknown length decides."""
    held = list(lengths)
    if limits is not None:
        held = [min(length, limit) for length, limit in zip(held, limits, strict=True)]
    if not held:
        return 0
    if mode == "sequential":
        return sum(held)
    return min(held) if mode == "min_size" else max(held)


class Mixture(Iterator[Item]):
    """One pass over several sources.

    Args:
        count: the number of sources.
        mode: how they are combined.
        open_source: returns a new iterator over the source of an index.
        limits: the most items of each source, in the sequential mode.

    Attributes:
        taken: items taken of each source since it was opened last.
        consumed: which sources were at their end once.
        current: the source that is read, in the sequential mode.
        index: the `batch_idx` of the next item.
    """

    def __init__(
        self, count: int, mode: str, open_source: Callable[[int], Iterator[Any]], limits: list[float] | None = None
    ) -> None:
        self.count = count
        self.mode = mode
        self.limits = limits
        self.taken = [0] * count
        self.consumed = [False] * count
        self.current = 0
        self.index = 0
        self.open = open_source
        self.iterators: dict[int, Iterator[Any]] = {}

    def begin(self) -> None:
        """Open the sources that a fresh pass reads first: all of them, or one in the sequential mode."""
        first = range(min(1, self.count)) if self.mode == "sequential" else range(self.count)
        self.iterators = {source: self.open(source) for source in first}

    def __next__(self) -> Item:
        item = self._in_turn() if self.mode == "sequential" else (self._together(), self.index, 0)
        self.index += 1
        return item

    def _take(self, source: int) -> Any:
        value = next(self.iterators[source])
        self.taken[source] += 1
        return value

    def _together(self) -> list[Any]:
        if self.count == 0:
            raise StopIteration
        if self.mode == "min_size":
            return [self._take(source) for source in range(self.count)]
        values: list[Any] = [None] * self.count
        for source in range(self.count):
            if self.mode == "max_size" and self.consumed[source]:
                continue
            try:
                values[source] = self._take(source)
            except StopIteration:
                self.consumed[source] = True
                if all(self.consumed):
                    raise
                if self.mode == "max_size_cycle":
                    self.taken[source] = 0
                    self.iterators[source] = self.open(source)
                    values[source] = self._take(source)
        return values

    def _in_turn(self) -> Item:
        while self.current < self.count:
            if self.limits is None or self.index < self.limits[self.current]:
                if self.current not in self.iterators:
                    self.iterators = {self.current: self.open(self.current)}
                try:
                    return self._take(self.current), self.index, self.current
                except StopIteration:
                    pass
            self.current, self.index = self.current + 1, 0
        raise StopIteration


class CombinedLoader(Iterable[Item]):
    """Reads several iterables as one; its items are `(batch, batch_idx, dataloader_idx)`.

    Args:
        iterables: an iterable, or nested dicts, lists and tuples of them; batches have the same form.
        mode: "min_size" ends with the shortest; "max_size_cycle" ends with the longest and begins the others again;
            "max_size" ends with the longest and gives None for the others; "sequential" reads one after the other,
            and each batch is of one iterable.

    Raises:
        ValueError: the mode is unknown.
    """

    def __init__(self, iterables: Any, mode: Mode = "min_size") -> None:
        if mode not in MODES:
            raise ValueError(f"`mode` is unknown. Got {mode!r}; expected one of {list(MODES)}. Correct it.")
        self._iterables = iterables
        self._flattened = flatten(iterables)
        self._mode: Mode = mode
        self._limits: list[float] | None = None
        self._iterator: Mixture | None = None

    @property
    def mode(self) -> Mode:
        """Return how the iterables are combined."""
        return self._mode

    @property
    def iterables(self) -> Any:
        """Return the iterables in the form they were given."""
        return self._iterables

    @property
    def flattened(self) -> list[Any]:
        """Return the iterables as a list; it may be set to another list of the same length."""
        return self._flattened

    @flattened.setter
    def flattened(self, flattened: list[Any]) -> None:
        self._check_count("iterables", len(flattened))
        self._iterables = rebuild(self._iterables, flattened)
        self._flattened = flattened

    @property
    def limits(self) -> list[float] | None:
        """Return the most items of each iterable; one number sets all."""
        return self._limits

    @limits.setter
    def limits(self, limits: float | list[float] | None) -> None:
        if isinstance(limits, int | float):
            limits = [limits] * len(self._flattened)
        if limits is not None:
            self._check_count("limits", len(limits))
        self._limits = limits

    def _check_count(self, what: str, count: int) -> None:
        if count != len(self._flattened):
            raise ValueError(
                f"The number of {what} does not fit this CombinedLoader. Got {count}; expected "
                f"{len(self._flattened)}. Give one for each iterable."
            )

    @property
    def sampler(self) -> Any:
        """Return the samplers of the iterables in their form, None where there is none."""
        return rebuild(self._iterables, [getattr(part, "sampler", None) for part in self._flattened])

    @property
    def batch_sampler(self) -> Any:
        """Return the batch samplers of the iterables in their form, None where there is none."""
        return rebuild(self._iterables, [getattr(part, "batch_sampler", None) for part in self._flattened])

    def __iter__(self) -> Self:
        limits = self._limits
        self._iterator = Mixture(len(self._flattened), self._mode, lambda source: iter(self._flattened[source]), limits)
        self._iterator.begin()
        return self

    def __next__(self) -> Item:
        if self._iterator is None:
            raise RuntimeError("This CombinedLoader is not being iterated. Call `iter(combined_loader)` first.")
        values, batch_idx, dataloader_idx = next(self._iterator)
        if self._mode != "sequential":
            values = rebuild(self._iterables, values)
        return values, batch_idx, dataloader_idx

    def __len__(self) -> int:
        if self._iterator is None:
            raise RuntimeError("The length is not known yet. Call `iter(combined_loader)` first.")
        length = combined_length(self._mode, [_length(part) for part in self._flattened], self._limits)
        if math.isinf(length):
            raise TypeError("A CombinedLoader has no length where an iterable without one decides. Limit that one.")
        return int(length)

    def reset(self) -> None:
        """Forget the pass that is under way, and end its workers."""
        self._iterator = None
        for part in self._flattened:
            end_workers = getattr(getattr(part, "_iterator", None), "_shutdown_workers", None)
            if callable(end_workers):
                end_workers()
            if hasattr(part, "_iterator"):
                part._iterator = None

    def __getstate__(self) -> dict[str, Any]:
        # The pass under way stays behind: iterators of loaders cannot be copied.
        return {**self.__dict__, "_iterator": None}


def _length(iterable: Any) -> float:
    try:
        return len(iterable)
    except (TypeError, NotImplementedError):
        return math.inf
