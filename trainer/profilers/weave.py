"""Putting a profiler around the trainer's actions, before a loop; without a profiler nothing is put anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from trainer.errors import MisconfigurationException, four_parts
from trainer.profilers.profiler import PassThroughProfiler, Profiler

if TYPE_CHECKING:
    from trainer.trainer import Trainer

Function = TypeVar("Function", bound=Callable[..., Any])
Item = TypeVar("Item")


def choose_profiler(given: Profiler | str | None) -> Profiler:
    """Return the profiler that the trainer's argument means.

    Raises:
        MisconfigurationException: no profiler has this name.
    """
    if given is None:
        return PassThroughProfiler()
    if isinstance(given, Profiler):
        return given
    from trainer import profilers

    named: dict[str, Callable[[], Profiler]] = {
        "simple": profilers.SimpleProfiler,
        "advanced": profilers.AdvancedProfiler,
        "pytorch": profilers.PyTorchProfiler,
    }
    kind = named.get(given.lower()) if isinstance(given, str) else None
    if kind is None:
        xla = " XLA is not supported." if given == "xla" else ""
        raise MisconfigurationException(
            four_parts(f"`profiler` names none that there is.{xla}", got=given,
                       expected=f"one of {sorted(named)}, or a Profiler", remedy="Correct the name.")
        )  # fmt: skip
    return kind()


def measures(trainer: Trainer) -> bool:
    """Return whether the trainer has a profiler that measures anything."""
    return type(trainer.profiler) is not PassThroughProfiler


def profiled(trainer: Trainer, name: str, function: Function) -> Function:
    """Return `function`, measured as the action `name`; itself where nothing is measured."""
    if not measures(trainer):
        return function
    profiler = trainer.profiler

    def measured(*arguments: Any, **options: Any) -> Any:
        with profiler.profile(name):
            return function(*arguments, **options)

    return measured  # type: ignore[return-value]  # the same signature


def profiled_items(trainer: Trainer, name: str, items: Iterator[Item]) -> Iterator[Item]:
    """Return the iterator, with the fetching of each item measured; itself where nothing is measured."""
    return _measured_items(trainer.profiler, name, items) if measures(trainer) else items


def _measured_items(profiler: Profiler, name: str, items: Iterator[Item]) -> Iterator[Item]:
    while True:
        with profiler.profile(name):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def strategy_action(trainer: Trainer, name: str) -> str:
    """Return the name of an action of the strategy, such as "[Strategy]SingleDeviceStrategy.training_step"."""
    return f"[Strategy]{type(trainer.strategy).__name__.removesuffix('Strategy')}Strategy.{name}"
