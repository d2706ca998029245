"""Several training loaders read as one, with a place in the epoch that a resume goes back to exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from trainer.data.loaders import (
    Lookahead,
    TrainLoader,
    begin_pass,
    generator_states,
    has_live_workers,
    iterates_plainly,
    limit_batches,
    list_loaders,
    loader_length,
    place_loader,
    restore_generators,
    set_epoch,
    warn_of_replay,
)
from trainer.data.sampling import view_loader
from trainer.errors import MisconfigurationException, four_parts
from trainer.seed import capture_rng, pass_key, restore_rng
from trainer.types import Batch, PlainState, Stateful
from trainer.utilities.combined_loader import CombinedLoader, Mixture, combined_length, flatten, rebuild

if TYPE_CHECKING:
    from trainer.strategies import Strategy


class _Lane:
    """One of the loaders.

    Attributes:
        given: the user's loader.
        born: the random states when the pass under way was begun, None for a pass that began with the epoch.
    """

    def __init__(self, given: Any, strategy: Strategy, *, splits: bool, in_order: bool) -> None:
        self.given = given
        self.loader, self._stream = place_loader(given, strategy, training=True, splits=splits, in_order=in_order)
        self.length = loader_length(self.loader)
        self.born: PlainState | None = None
        self.had_workers = False  # so had the run that is resumed, before the epoch that comes

    def again(self, at: int, *place: int) -> Iterator[Any]:
        """Begin another pass before batch `at` of an epoch, and remember what it was begun with."""
        self.born = {"rng": capture_rng(), "generators": generator_states(self.given), "at": at}
        self.set_key(self.born["rng"], self.born["generators"], *place, at)
        return begin_pass(self.loader, had_workers=True)

    def set_key(self, rng: PlainState, generators: PlainState, *place: int) -> None:
        """Let workers seed their generators for the items of the pass that comes."""
        if self._stream is not None and self.loader.num_workers > 0:
            self._stream.key = pass_key(rng, generators, *place)

    def open_at(self, taken: int, state: PlainState | None, had_workers: bool) -> Iterator[Any]:
        """Begin a pass after its first `taken` items; `enter` has to follow."""
        if state is not None and isinstance(self.given, Stateful):
            self.given.load_state_dict(state)
            return iter(self.loader)
        if iterates_plainly(self.loader):
            if self._stream is None:
                self.loader, self._stream = view_loader(self.loader)
            self._stream.skip = taken
            return begin_pass(self.loader, had_workers)
        warn_of_replay(self.loader, taken)
        return _Skipping(begin_pass(self.loader, had_workers), taken)

    def enter(self, iterator: Iterator[Any]) -> None:
        """Leave out now what `open_at` was told to."""
        if self._stream is not None:
            self._stream.enter()
        if isinstance(iterator, _Skipping):
            iterator.skip()


class _Skipping(Iterator[Any]):
    def __init__(self, iterator: Iterator[Any], count: int) -> None:
        self._iterator, self._count = iterator, count

    def skip(self) -> None:
        for _ in islice(self._iterator, self._count):
            pass

    def __next__(self) -> Any:
        return next(self._iterator)


def is_combined(given: Any) -> bool:
    """Return whether `given` is a collection of loaders, be it of one, rather than a loader."""
    if isinstance(given, CombinedLoader):
        return True
    loaders = flatten(given)
    return not (len(loaders) == 1 and loaders[0] is given)


class CombinedTrainLoader(TrainLoader):
    """The training loaders of a fit.

    Args:
        given: nested loaders, of which the longest decides while the others are begun again, or a CombinedLoader.

    Raises:
        MisconfigurationException: the mode is "sequential", whose batches come from one loader each.
    """

    def __init__(
        self, given: Any, strategy: Strategy, *, limit: float, limit_name: str, splits: bool, in_order: bool
    ) -> None:
        self.mode = given.mode if isinstance(given, CombinedLoader) else "max_size_cycle"
        if self.mode == "sequential":
            raise MisconfigurationException(
                four_parts(
                    "Training cannot read its loaders one after the other.",
                    got='CombinedLoader(mode="sequential")',
                    expected="'min_size', 'max_size' or 'max_size_cycle'",
                    remedy="Concatenate the datasets (torch.utils.data.ConcatDataset), or choose another mode.",
                )
            )
        self.given = given.iterables if isinstance(given, CombinedLoader) else given
        parts = list_loaders(self.given)
        self._lanes = [_Lane(part, strategy, splits=splits, in_order=in_order) for part in parts]
        self._rank, self._epoch = strategy.data_share.rank, 0
        self.loader = rebuild(self.given, [lane.loader for lane in self._lanes])
        limits = given.limits if isinstance(given, CombinedLoader) else None
        self.length = combined_length(self.mode, [lane.length for lane in self._lanes], limits)
        self.num_batches = limit_batches(self.length, limit, limit_name)
        self._is_limited = self.num_batches < self.length
        self._epoch_start: PlainState = {}
        self._peek: Lookahead | None = None
        self._pass: Mixture | None = None

    def start_epoch(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of a new epoch."""
        self._remember_start()
        self._set_epoch(epoch)
        self._set_keys()
        self._pass = self._new_pass()
        self._pass.begin()
        self._pass.open = self._again
        return self._limited(self._batches(self._pass), done=0)

    def _again(self, source: int) -> Iterator[Any]:
        return self._lanes[source].again(0 if self._pass is None else self._pass.index, self._epoch, self._rank, source)

    def _remember_start(self) -> None:
        self._epoch_start = {
            "rng": capture_rng(),
            "generators": self._generators(),
            "had_workers": [has_live_workers(lane.loader) or lane.had_workers for lane in self._lanes],
        }
        for lane in self._lanes:
            lane.born, lane.had_workers = None, False

    def _set_keys(self) -> None:
        """Let the workers of passes that begin with the epoch seed their generators for each item."""
        start = self._epoch_start
        for index, lane in enumerate(self._lanes):
            lane.set_key(start["rng"], start["generators"].get(str(index), {}), self._epoch, self._rank, index)

    def _had_workers_before(self, lane: int) -> bool:
        return bool(self._epoch_start.get("had_workers", [False] * len(self._lanes))[lane])

    def _new_pass(self) -> Mixture:
        return Mixture(
            len(self._lanes),
            self.mode,
            lambda source: begin_pass(self._lanes[source].loader, self._had_workers_before(source)),
        )

    def _set_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        for lane in self._lanes:
            set_epoch(lane.given, epoch)

    def _batches(self, mixture: Mixture) -> Iterator[Batch]:
        try:
            for values, _, _ in mixture:
                yield rebuild(self.given, values)
        finally:
            mixture.iterators = {}  # their workers end with them

    def continue_epoch(self, epoch: int, done: int, position: PlainState) -> Iterator[Batch]:
        """Return the batches of a half-finished epoch after its first `done`, in the order it was begun with.

        Passes are begun again in the order they were begun in, each with the random states it was begun with: those
        that began with the epoch together, those of loaders that were at their end one by one.
        """
        self._epoch_start = position["epoch_start"]
        saved = position["pass"]
        lanes, taken, states = self._lanes, saved["taken"], saved["states"]
        restore_rng(self._epoch_start["rng"])
        self._restore_generators(self._epoch_start["generators"])
        self._set_epoch(epoch)
        self._set_keys()
        mixture = self._pass = self._new_pass()
        mixture.taken, mixture.consumed = list(taken), list(saved["consumed"])
        mixture.index = done
        first = [born is None for born in saved["born"]]
        iterators = {
            # One item of a pass that has ended is enough: its order is drawn before the next loader's.
            index: lane.open_at(
                taken[index] if first[index] else 1,
                states[index] if first[index] else None,
                self._had_workers_before(index),
            )
            for index, lane in enumerate(lanes)
        }
        for index, lane in enumerate(lanes):
            lane.enter(iterators[index])
        again = [index for index, is_first in enumerate(first) if not is_first]
        for index in sorted(again, key=lambda index: (saved["born"][index]["at"], index)):
            born = saved["born"][index]
            restore_rng(born["rng"])
            restore_generators(lanes[index].given, born["generators"])
            lanes[index].born = born
            lanes[index].set_key(born["rng"], born["generators"], epoch, self._rank, index, born["at"])
            iterators[index] = lanes[index].open_at(taken[index], states[index], had_workers=True)
            lanes[index].enter(iterators[index])
        mixture.iterators = iterators
        mixture.open = self._again
        return self._limited(self._batches(mixture), done)

    def place_before_epoch(self, position: PlainState) -> None:
        """Set the loaders' generators to where they were between two epochs."""
        self._restore_generators(position["generators"])
        for lane, had in zip(self._lanes, position.get("has_workers", []), strict=False):
            lane.had_workers = had

    def _generators(self) -> PlainState:
        return {str(index): generator_states(lane.given) for index, lane in enumerate(self._lanes)}

    def _restore_generators(self, states: PlainState) -> None:
        for index, lane in enumerate(self._lanes):
            restore_generators(lane.given, states.get(str(index), {}))

    def pass_state(self) -> PlainState:
        """Return where each loader stands."""
        if self._pass is None:
            return {}
        return {
            "taken": list(self._pass.taken),
            "consumed": list(self._pass.consumed),
            "born": [lane.born for lane in self._lanes],
            "states": [lane.given.state_dict() if isinstance(lane.given, Stateful) else None for lane in self._lanes],
        }

    def _limited(self, iterator: Iterator[Batch], done: int) -> Iterator[Batch]:
        self._peek = None
        if not math.isinf(self.num_batches):
            return islice(iterator, int(self.num_batches) - done)
        self._peek = Lookahead(iterator, _PassState(self))
        return self._peek

    def state_dict(self) -> PlainState:
        """Return where the epoch stands, as plain data and tensors."""
        return {
            "epoch_start": self._epoch_start,
            "generators": self._generators(),
            "has_workers": [has_live_workers(lane.loader) for lane in self._lanes],
            "pass": self._before_waiting(self.pass_state()),
        }

    def _before_waiting(self, state: PlainState) -> PlainState:
        """Return `state` without the batch that waits in a look ahead.

        A pass that was begun for that batch stays begun: its order is drawn, and must not be drawn again.
        """
        peek = self._peek
        if peek is None or peek.is_last or peek.state_before is None:
            return state
        before = peek.state_before
        for index, consumed in enumerate(state["consumed"]):
            if self.mode != "max_size" or not consumed:
                state["taken"][index] -= 1
            is_same = before["born"][index] is state["born"][index]
            state["states"][index] = before["states"][index] if is_same else None
        return state


class _PassState:
    """The place of a combined pass, as something that can be saved before each look ahead."""

    def __init__(self, loader: CombinedTrainLoader) -> None:
        self._loader = loader

    def state_dict(self) -> PlainState:
        return self._loader.pass_state()

    def load_state_dict(self, state_dict: PlainState) -> None:
        raise NotImplementedError("The pass is continued by `continue_epoch`.")
