"""The loaders of a run: counted, split over processes, and entered where a resumed epoch goes on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from trainer.data.sampling import IndexStream, Split, is_split_already, view_loader
from trainer.errors import CheckpointError, MisconfigurationException, WrongTypeError, four_parts
from trainer.seed import SeedWorker, capture_rng, pass_key, restore_rng, workers_are_seeded
from trainer.types import Batch, PlainState, Stateful
from trainer.utilities.combined_loader import CombinedLoader, flatten

if TYPE_CHECKING:
    from trainer.strategies import Strategy


_VIEWS: WeakKeyDictionary[DataLoader[Any], dict[bool, tuple[DataLoader[Any], IndexStream]]] = WeakKeyDictionary()
"""The views for training, and for the rest, of loaders whose workers live on: a second run has those of the first."""


def list_loaders(given: Any) -> list[Any]:
    """Return the loaders in what a user gave: one, or nested dicts, lists and tuples of them, in their order.

    Raises:
        MisconfigurationException: a list of batches was given.
    """
    if given is None:
        return []
    loaders = given.flattened if isinstance(given, CombinedLoader) else flatten(given)
    for loader in loaders:
        _refuse_batch(loader)
    return loaders


def _refuse_batch(loader: Any) -> None:
    if isinstance(loader, Tensor):
        raise MisconfigurationException(
            four_parts(
                "A list of batches was given where a loader, or a list of loaders, is expected.",
                got=f"a {type(loader).__name__} in the place of a loader",
                expected="a DataLoader, or any other iterable that is not a list of tensors",
                remedy="Wrap the batches: DataLoader(batches, batch_size=None).",
            )
        )
    if not isinstance(loader, Iterable):
        raise WrongTypeError(
            four_parts(
                "A loader cannot be iterated.",
                got=type(loader).__name__,
                expected="a DataLoader or any other iterable",
                remedy="Return a loader from the `..._dataloader` hook.",
            )
        )


def loader_length(loader: Any) -> float:
    """Return the number of batches, `math.inf` where it is not known."""
    if isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset):
        try:
            return len(loader) if hasattr(loader.dataset, "__len__") else math.inf
        except TypeError:
            return math.inf
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return math.inf


def limit_batches(length: float, limit: float, argument: str) -> float:
    """Return how many of `length` batches `limit` leaves: a number of them (int) or a share (float).

    Raises:
        MisconfigurationException: a share of an unknown length, or a share that leaves nothing.
    """
    if isinstance(limit, int) and not isinstance(limit, bool):
        return min(length, limit)
    if limit == 1.0 or length == 0:
        return length
    if math.isinf(length):
        if limit == 0.0:
            return 0
        raise MisconfigurationException(
            four_parts(
                f"`{argument}` is a share, and the loader has no length.",
                got=limit,
                expected="a whole number of batches",
                remedy=f"Pass {argument}=100, for example.",
            )
        )
    batches = int(length * limit)
    if batches == 0 and limit > 0:
        raise MisconfigurationException(
            four_parts(
                f"`{argument}` leaves no batch of the loader's {int(length)}.",
                got=limit,
                expected=f"at least {1 / length:.3g}, or 0 to turn the stage off",
                remedy=f"Pass {argument}=1 for one batch.",
            )
        )
    return batches


def split_for(strategy: Strategy, *, training: bool, drops: bool = False) -> Split:
    """Return this process's part of every stream of indices."""
    share = strategy.data_share
    return Split(
        rank=share.rank,
        world_size=share.world_size,
        repeats=training and not drops,
        drops=training and drops,
        share=lambda payload: strategy.gather_bytes(payload)[0],
    )


def place_loader(
    loader: Any, strategy: Strategy, *, training: bool, splits: bool, in_order: bool = False
) -> tuple[Any, IndexStream | None]:
    """Return the loader to iterate, and its stream of indices if a view was needed.

    A loader is used as it is unless processes share it, its order is to be kept, or its workers are to be seeded: for
    each item in training and where they live on, and where `seed_everything(workers=True)` asked for it.

    Raises:
        MisconfigurationException: the loader has to be split and iterates in a way of its own.
    """
    if not has_index_stream(loader):
        if splits and strategy.data_share.world_size > 1 and strategy.environment.rank == 0:
            warnings.warn(
                f"{type(loader).__name__} has no indices to split: every process reads all of it. Split it by rank "
                "yourself, and pass use_distributed_sampler=False.",
                stacklevel=2,
            )
        return loader, None
    shares = splits and strategy.is_distributed and not is_split_already(loader)
    seeds = workers_are_seeded() and loader.num_workers > 0
    # Workers that are begun anew for a pass, with a seed drawn from the global generators, need no more than that.
    places = loader.num_workers > 0 and iterates_plainly(loader) and (training or lives_on(loader))
    if not (shares or in_order or seeds or places):
        return loader, None
    if shares and type(loader).__iter__ is not DataLoader.__iter__:
        raise MisconfigurationException(
            four_parts(
                "This loader iterates in a way of its own, so it cannot be split over the processes.",
                got=type(loader).__name__,
                expected="a loader with DataLoader's own __iter__, or one that splits by rank itself",
                remedy="Split it yourself and pass use_distributed_sampler=False.",
            )
        )
    split = split_for(strategy, training=training, drops=loader.drop_last) if shares else None
    worker_init = SeedWorker(strategy.data_share.rank) if seeds else None
    is_kept = lives_on(loader) and not (shares or in_order)
    kept = _VIEWS.setdefault(loader, {}) if is_kept else {}
    if training not in kept:
        kept[training] = view_loader(loader, split=split, in_order=in_order, worker_init=worker_init)
    return kept[training]


def iterates_plainly(loader: Any) -> bool:
    """Return whether a view of `loader` may read other indices than the loader itself would."""
    return has_index_stream(loader) and type(loader).__iter__ is DataLoader.__iter__


def lives_on(loader: Any) -> bool:
    """Return whether the workers of `loader` live on from one pass to the next."""
    return isinstance(loader, DataLoader) and loader.persistent_workers and loader.num_workers > 0


def has_live_workers(loader: Any) -> bool:
    """Return whether the next pass over `loader` goes to workers that live already."""
    return lives_on(loader) and loader._iterator is not None


def begin_pass(loader: Any, had_workers: bool) -> Iterator[Any]:
    """Return an iterator over a pass.

    torch draws a seed for workers when it starts them. Where this pass is begun again, and was begun with workers that
    lived already (`had_workers`), none is drawn, or the order that is drawn next would be another.
    """
    begins = had_workers and lives_on(loader) and not has_live_workers(loader)
    if not begins or type(loader).__iter__ is not DataLoader.__iter__:
        return iter(loader)
    own = loader.generator
    loader.__dict__["generator"] = torch.Generator().manual_seed(torch.initial_seed())
    try:
        return iter(loader)
    finally:
        loader.__dict__["generator"] = own


class Begun:
    """A loader whose passes begin as if its workers had been there before."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        return begin_pass(self._loader, had_workers=True)


def warn_of_replay(loader: Any, batches: int) -> None:
    """Warn that a loader which cannot be entered in the middle is read again, where that may give other batches."""
    is_streamed = isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset)
    if batches and (is_streamed or math.isinf(loader_length(loader))):
        warnings.warn(
            f"{type(loader).__name__} cannot be entered in the middle of an epoch: its first {batches} batches are "
            "read again and dropped. The resumed run is exact only if they are the same again: if the order and every "
            "random draw of the dataset follow from the global generators at the start of the epoch. Give the loader "
            "`state_dict` and `load_state_dict` (as torchdata's StatefulDataLoader has), use a dataset with indices, "
            "or resume from checkpoints of the ends of epochs.",
            stacklevel=2,
        )


def has_index_stream(loader: Any) -> bool:
    """Return whether `loader` reads a dataset by indices."""
    return isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)


class TrainLoader:
    """The training loader of a fit, with its place in the epoch; several at once are `CombinedTrainLoader`.

    Attributes:
        loader: what is iterated.
        length: batches that the loader has, `math.inf` where not known.
        num_batches: batches of an epoch, `math.inf` where not known.
        taken_per_batch: how much of the common order one batch of every process takes in all: samples, or batches of a
            batch sampler; None where the loader alone knows.
    """

    taken_per_batch: int | None = None

    def __init__(
        self, given: Any, strategy: Strategy, *, limit: float, limit_name: str, splits: bool, in_order: bool
    ) -> None:
        self.given = given
        list_loaders(given)
        self.loader, self._stream = place_loader(self.given, strategy, training=True, splits=splits, in_order=in_order)
        self._rank = strategy.data_share.rank
        self.taken_per_batch = _taken_per_batch(given, strategy.data_share.world_size, splits)
        self.length = loader_length(self.loader)
        self.num_batches = limit_batches(self.length, limit, limit_name)
        self._is_limited = self.num_batches < self.length
        self._epoch_start: PlainState = {}
        self._loader_state: PlainState | None = None
        self._peek: Lookahead | None = None
        self._had_workers = False  # the run that is resumed had live workers between two epochs

    def start_epoch(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of a new epoch."""
        had_workers = has_live_workers(self.loader) or self._had_workers
        self._had_workers = False
        self._epoch_start = {
            "rng": capture_rng(),
            "generators": generator_states(self.given),
            "had_workers": had_workers,
        }
        set_epoch(self.given, epoch)
        self._set_key(epoch)
        return self._limited(begin_pass(self.loader, had_workers), done=0)

    def _set_key(self, epoch: int) -> None:
        if self._stream is not None and self.loader.num_workers > 0:
            start = self._epoch_start
            self._stream.key = pass_key(start["rng"], start["generators"], epoch, self._rank)

    def continue_epoch(self, epoch: int, done: int, position: PlainState) -> Iterator[Batch]:
        """Return the batches of a half-finished epoch after its first `done`, in the order it was begun with.

        The caller restores the random generators afterwards to where they were after those batches.
        """
        self._epoch_start = position["epoch_start"]
        restore_rng(self._epoch_start["rng"])
        restore_generators(self.given, self._epoch_start["generators"])
        set_epoch(self.given, epoch)
        if position.get("loader") is not None and isinstance(self.given, Stateful):
            self.given.load_state_dict(position["loader"])
            return self._limited(iter(self.loader), done)
        if iterates_plainly(self.loader):
            if self._stream is None:
                self.loader, self._stream = view_loader(self.loader)
            self._set_key(epoch)
            self._stream.skip = done
            iterator = begin_pass(self.loader, self._epoch_start.get("had_workers", False))
            self._stream.enter()
            return self._limited(iterator, done)
        warn_of_replay(self.loader, done)
        iterator = begin_pass(self.loader, self._epoch_start.get("had_workers", False))
        for _ in islice(iterator, done):
            pass
        return self._limited(iterator, done)

    def place_before_epoch(self, position: PlainState) -> None:
        """Set the loader's generators to where they were between two epochs."""
        restore_generators(self.given, position["generators"])
        self._had_workers = position.get("has_workers", False)

    def _limited(self, iterator: Iterator[Batch], done: int) -> Iterator[Batch]:
        if not math.isinf(self.num_batches):
            # Nothing is fetched beyond a limit, and nothing of ours runs between two batches.
            self._peek = None
            batches = islice(iterator, int(self.num_batches) - done)
            return batches if self._is_limited else chain(batches, _finish(iterator))
        stateful = self.given if isinstance(self.given, Stateful) else None
        self._peek = Lookahead(iterator, stateful)
        return self._peek

    @property
    def peeked_last(self) -> bool:
        """Return whether a loader without length has just given its last batch."""
        return self._peek is not None and self._peek.is_last

    def check_length(self, saved: int) -> None:
        """Refuse to continue an epoch with another number of batches.

        Raises:
            CheckpointError: the lengths differ.
        """
        now = -1 if math.isinf(self.num_batches) else int(self.num_batches)
        if saved != now:
            raise CheckpointError(
                "The checkpoint was written in the middle of an epoch, which cannot go on with another number of "
                f"batches. Got {now} (-1: unknown); expected {saved}. "
                "Pass the same data, batch size and limits, or a checkpoint from the end of an epoch."
            )

    def state_dict(self) -> PlainState:
        """Return where the epoch stands, as plain data and tensors."""
        loader_state = None
        if self._peek is not None and self._peek.stateful is not None:
            loader_state = self._peek.state_before
        elif isinstance(self.given, Stateful):
            loader_state = self.given.state_dict()
        return {
            "epoch_start": self._epoch_start,
            "generators": generator_states(self.given),
            "has_workers": has_live_workers(self.loader),
            "loader": loader_state,
        }


def _taken_per_batch(loader: Any, shares: int, splits: bool) -> int | None:
    if not has_index_stream(loader) or isinstance(loader, Stateful):
        return None
    parts = shares if splits or is_split_already(loader) else 1
    if type(loader.batch_sampler) is BatchSampler:
        return int(loader.batch_sampler.batch_size) * parts
    return parts


def _finish(iterator: Iterator[Any]) -> Iterator[Any]:
    """Yield nothing, and let the iterator find its own end: loaders tidy up there."""
    next(iterator, None)
    yield from ()


class Lookahead:
    """An iterator that fetches one item ahead, so that the last one is known to be the last.

    Attributes:
        is_last: the item given last was the last one.
        stateful: the loader, if it can save its place.
        state_before: its place before the item that is waiting.
    """

    def __init__(self, iterator: Iterator[Any], stateful: Stateful | None) -> None:
        self._iterator = iterator
        self.stateful = stateful
        self.state_before: PlainState | None = None
        self.is_last = False
        self._has_waiting = True
        self._waiting: Any = None
        self._fetch()

    def _fetch(self) -> None:
        if self.stateful is not None:
            self.state_before = self.stateful.state_dict()
        try:
            self._waiting = next(self._iterator)
        except StopIteration:
            self._has_waiting = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._has_waiting:
            raise StopIteration
        item = self._waiting
        self._fetch()
        self.is_last = not self._has_waiting
        return item


def set_epoch(loader: Any, epoch: int) -> None:
    """Tell the epoch to the loader and its samplers, those of them that want to know."""
    for part in _parts(loader).values():
        if callable(getattr(part, "set_epoch", None)):
            part.set_epoch(epoch)


def _parts(loader: Any) -> dict[str, Any]:
    parts = {"loader": loader}
    for name in ("sampler", "batch_sampler"):
        part = getattr(loader, name, None)
        if part is not None:
            parts[name] = part
    inner = getattr(parts.get("batch_sampler"), "sampler", None)
    if inner is not None and inner is not parts.get("sampler"):
        parts["batch_sampler.sampler"] = inner
    return parts


def generator_states(loader: Any) -> PlainState:
    """Return the states of the generators that the loader and its samplers have of their own."""
    found = {name: getattr(part, "generator", None) for name, part in _parts(loader).items()}
    return {name: generator.get_state() for name, generator in found.items() if isinstance(generator, torch.Generator)}


def restore_generators(loader: Any, states: PlainState) -> None:
    """Set the generators of the loader and its samplers to saved states."""
    for name, part in _parts(loader).items():
        generator = getattr(part, "generator", None)
        if name in states and isinstance(generator, torch.Generator):
            generator.set_state(states[name].cpu())
