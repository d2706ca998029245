"""What `self.log` records: sums kept on the device, read only when somebody needs numbers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from trainer.data.batch_size import BatchSizeReader
from trainer.errors import MisconfigurationException, UnevenBatchesError, four_parts
from trainer.metrics.entry import MetricEntry, Options, make_entry
from trainer.metrics.objects import capture_metrics, named_metrics, restore_metrics
from trainer.types import Batch, PlainState, ReduceOp

if TYPE_CHECKING:
    from trainer.strategies import Strategy

Phase: TypeAlias = Literal["train", "eval"]
Level: TypeAlias = Literal["batch", "epoch"]
Value: TypeAlias = float | Tensor


class MetricStore:
    """Everything logged in a run.

    The loops say where they are with `enter`; `log` then adds to the entries of that place. Step values are read when
    they go to the loggers, epoch values when `close_epoch` combines them, over all processes in one exchange.

    Attributes:
        batch: the batch of the current step, whose first tensor gives the weight of its values.
    """

    def __init__(self) -> None:
        self.batch: Batch = None
        self._scopes: dict[tuple[Phase, Level, int], dict[str, MetricEntry]] = {}
        self._entries: dict[str, MetricEntry] | None = None
        self._level: Level = "epoch"
        self._phase: Phase = "train"
        self._loader: int | None = None
        self._is_rank_zero = True
        self._sizes = BatchSizeReader()
        self._callback: dict[str, Value] = {}
        self._logged: dict[str, Value] = {}
        self._bar: dict[str, Value] = {}

    # Where the run is

    def begin_run(self, *, is_rank_zero: bool) -> None:
        """Forget everything of earlier runs."""
        for entries in self._scopes.values():
            for entry in entries.values():
                entry.clear()
        self.__init__()  # type: ignore[misc]  # a store holds nothing else
        self._is_rank_zero = is_rank_zero

    def enter(self, phase: Phase, level: Level, loader: int | None = None) -> None:
        """Say where the following `log` calls come from; `loader` is None unless there are several."""
        self._phase, self._level, self._loader = phase, level, loader
        self._entries = self._scopes.setdefault((phase, level, loader or 0), {})

    def leave(self) -> None:
        """Refuse `log` calls until `enter`."""
        self._entries = None

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Refuse `log` calls inside the block."""
        entries, self._entries = self._entries, None
        try:
            yield
        finally:
            self._entries = entries

    def note(self, values: Mapping[str, float]) -> None:
        """Publish values that were not logged by the module, for whoever monitors them."""
        self._callback |= values

    def take_over(self, callback: Mapping[str, Value], logged: Mapping[str, Value], bar: Mapping[str, Value]) -> None:
        """Publish what another process has published, and nothing else."""
        self.begin_run(is_rank_zero=True)
        self._callback, self._logged, self._bar = dict(callback), dict(logged), dict(bar)

    # Recording

    def log(self, name: str, value: Any, options: Options, batch_size: int | None) -> None:
        """Record one value under the current place; the arguments are those of `LightningModule.log`.

        Raises:
            MisconfigurationException: logging is not possible here, or the options changed since the last call.
        """
        entries = self._entries
        entry = entries.get(name) if entries is not None else None
        if entry is None or entry.options != options:
            entry = self._new_entry(name, options)
        if entry.rank_zero_only and not self._is_rank_zero:
            return
        if batch_size is None:
            batch_size = self._sizes.read(self.batch) if self._level == "batch" and entry.is_weighted else 1
        entry.add(value, batch_size)

    def _new_entry(self, name: str, options: Options) -> MetricEntry:
        if self._entries is None:
            raise MisconfigurationException(
                four_parts(
                    "`self.log` was called where no batch or epoch is running.",
                    got=name,
                    expected="a call inside a step or one of the train, validation or test hooks",
                    remedy="Move it there, or use `self.logger.log_metrics`.",
                )
            )
        known = self._entries.get(name)
        if known is not None and known.options is not None:
            raise MisconfigurationException(
                four_parts(
                    f"`self.log({name!r}, ...)` was called with other options than before in the same place.",
                    got=options,
                    expected=f"{known.options}",
                    remedy="Use one name per set of options.",
                )
            )
        entry = make_entry(
            name,
            options,
            in_train_step=(self._phase, self._level) == ("train", "batch"),
            level=self._level,
            loader=self._loader,
        )
        if known is not None:
            entry.continue_from(known)
        self._entries[name] = entry
        return entry

    # Reading steps

    def _of(self, phase: Phase) -> Iterable[MetricEntry]:
        return (entry for scope, entries in self._scopes.items() if scope[0] == phase for entry in entries.values())

    def _stepping(self, phase: Phase) -> list[MetricEntry]:
        """Return what keeps step values: of all training, or of the loader that is evaluated now."""
        entries = self._of(phase) if phase == "train" else (self._entries or {}).values()
        return [entry for entry in entries if entry.on_step]

    def has_step_values(self, phase: Phase) -> bool:
        """Return whether any entry of this phase keeps step values."""
        return bool(self._stepping(phase))

    def step_values(self, phase: Phase, strategy: Strategy) -> dict[str, float]:
        """Return the newest step values that go to the loggers, as numbers; reads the device once.

        Those of training are combined over the processes where `sync_dist` asks for it; in an evaluation, where
        processes may have different numbers of batches, they are this process's own.
        """
        entries = [entry for entry in self._stepping(phase) if entry.fresh and entry.logger]
        values = read_numbers({entry.step_key: entry.last for entry in entries if entry.last is not None})
        shared = [entry for entry in entries if entry.sync_dist and not entry.rank_zero_only]
        # Processes may have logged different names; who has none takes part all the same, or the others would wait.
        if phase == "train" and strategy.is_distributed and strategy.agree([bool(shared)])[0]:
            parts = [_part(e, e.step_key, values[e.step_key], 1.0) for e in shared if e.step_key in values]
            values |= {part.key: part.value for part in _combine(parts, strategy)}
        self._logged |= values
        return values

    # Closing an epoch

    def close_epoch(self, phase: Phase, strategy: Strategy) -> dict[str, float]:
        """Combine what was logged since the last call; return what goes to the loggers, as numbers."""
        entries = [entry for entry in self._of(phase) if entry.open]
        results = self._combined(entries, strategy)
        to_loggers: dict[str, float] = {}
        for entry in self._of(phase):
            if entry.fresh and entry.on_step and entry.last is not None:
                self._publish(entry, entry.step_key, entry.last, watched=phase == "train")
            entry.fresh = False
            entry.open = False
        for key, (entry_like, value) in results.items():
            self._publish(entry_like, key, value)
            if entry_like.plain_key != key:
                self._callback[entry_like.plain_key] = value
            if entry_like.logger:
                to_loggers[key] = value
        return to_loggers

    def _combined(self, entries: list[MetricEntry], strategy: Strategy) -> dict[str, tuple[MetricEntry, float]]:
        epoch = [entry for entry in entries if entry.on_epoch]
        if strategy.is_distributed:
            _refuse_lonely_metrics(epoch, strategy)
        values = read_numbers({entry.epoch_key: entry.total() for entry in epoch})
        by_key = {entry.epoch_key: entry for entry in epoch}
        alone = {
            entry.epoch_key: values[entry.epoch_key] / (entry.weight if entry.op == "mean" and entry.weight else 1.0)
            for entry in epoch
        }
        known: dict[str, tuple[MetricEntry, float]] = {key: (by_key[key], value) for key, value in alone.items()}
        if strategy.is_distributed:
            # Who only listens has no metric objects, or they have seen nothing.
            has_listeners = len(strategy.speakers) < strategy.environment.world_size
            parts = [
                _part(e, e.epoch_key, values[e.epoch_key], 1.0 if e.metric is not None else float(e.weight))
                for e in epoch
                if e.sync_dist is not False and not e.rank_zero_only and (e.metric is None or has_listeners)
            ]
            for part in _combine(parts, strategy):
                known[part.key] = (by_key.get(part.key) or _seen_elsewhere(part), part.value)
        return known

    def _publish(self, entry: MetricEntry, key: str, value: Value, *, watched: bool = True) -> None:
        if watched:
            self._callback[key] = value
        if entry.logger:
            self._logged[key] = value
        if entry.prog_bar:
            self._bar[key] = value

    def reset(self, phase: Phase) -> None:
        """Begin a new epoch of this phase: sums start again, published values and what waits to be closed stay."""
        for entry in self._of(phase):
            if not entry.open:
                entry.clear()

    # What others see

    def _view(self, closed: dict[str, Value], include: Callable[[MetricEntry], bool]) -> dict[str, Value]:
        """Return `closed` with the newest step values over it, and what hooks around the batches logged."""
        view = dict(closed)
        for (_, level, _), entries in self._scopes.items():
            for entry in entries.values():
                if not entry.fresh or not include(entry):
                    continue
                if entry.on_step and entry.last is not None:
                    view[entry.step_key] = entry.last
                elif level == "epoch" and entry.metric is None:
                    view[entry.plain_key] = entry.average()
        return view

    def _watched(self) -> dict[str, Value]:
        """Return what callbacks may watch: of training the newest step values too, of an evaluation its results."""
        view = dict(self._callback)
        for (phase, level, _), entries in self._scopes.items():
            for entry in entries.values():
                if not entry.fresh:
                    continue
                if entry.on_step and entry.last is not None and phase == "train":
                    view[entry.step_key] = view[entry.plain_key] = entry.last
                elif level == "epoch" and entry.metric is None:
                    # What a hook around the batches logged is known as soon as it is logged.
                    view[entry.plain_key] = entry.average()
        return view

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        """Return every metric's newest value as a tensor, under its full and its plain name."""
        return as_tensors(self._watched())

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        """Return the newest values of what goes to the loggers."""
        return as_tensors(self._view(self._logged, lambda entry: entry.logger))

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """Return the newest values for the progress bar as numbers; reads the device."""
        return read_numbers(self._view(self._bar, lambda entry: entry.prog_bar))

    # Resume

    def state_dict(self, module: nn.Module) -> PlainState:
        """Return the open sums of training, so that an epoch's metrics survive a resume in its middle.

        Metric objects are found as attributes of `module`; those that evaluations log begin each of them anew.
        """
        places = {id(metric): place for place, metric in named_metrics(module).items()}
        evaluated = {id(entry.metric) for entry in self._of("eval") if entry.metric is not None}
        return {
            "entries": [
                [name, entry.state_dict() | {"object": places.get(id(entry.metric))}]
                for (phase, level, _), entries in self._scopes.items()
                if (phase, level) == ("train", "batch")
                for name, entry in entries.items()
            ],
            "objects": capture_metrics(module, leave_out=evaluated),
            "callback": read_numbers(self._callback),
            "bar": read_numbers(self._bar),
        }

    def load_state_dict(self, state_dict: PlainState, module: nn.Module) -> list[str]:
        """Continue from what `state_dict` returned; options follow with the first `log` call of each name.

        Returns:
            The names of metric objects that could not be saved, as they are no attributes of the module.
        """
        restore_metrics(module, state_dict.get("objects", {}))
        metrics = named_metrics(module)
        entries = self._scopes.setdefault(("train", "batch", 0), {})
        lost = []
        for name, state in state_dict["entries"]:
            entries[name] = MetricEntry.from_state(state)
            entries[name].metric = metrics.get(state.get("object"))
            if state.get("is_object") and entries[name].metric is None:
                lost.append(name)
        self._callback = dict(state_dict["callback"])
        self._bar = dict(state_dict["bar"])
        return lost


class _Part(NamedTuple):
    """What one process tells the others about one metric."""

    key: str
    op: ReduceOp
    value: float  # a sum or an extreme; once combined, the result
    weight: float
    plain_key: str
    prog_bar: bool
    logger: bool


def _part(entry: MetricEntry, key: str, value: float, weight: float) -> _Part:
    return _Part(key, entry.op, value, weight, entry.plain_key, entry.prog_bar, entry.logger)


def _seen_elsewhere(part: _Part) -> MetricEntry:
    """Return an entry for a metric that only other processes logged in this epoch."""
    return MetricEntry(
        key=part.key,
        step_key=part.key,
        epoch_key=part.key,
        plain_key=part.plain_key,
        op=part.op,
        options=None,
        logger=part.logger,
        prog_bar=part.prog_bar,
    )


def _refuse_lonely_metrics(entries: Sequence[MetricEntry], strategy: Strategy) -> None:
    """Refuse metric objects that only some processes logged: their own exchange would wait for ever.

    Raises:
        UnevenBatchesError: the names differ.
    """
    names = sorted(entry.epoch_key for entry in entries if entry.metric is not None)
    mark = zlib.crc32(json.dumps(names).encode())
    speaks = strategy.environment.rank in strategy.speakers
    largest, smallest = strategy.agree([mark, -mark] if speaks else [-(2**62)] * 2)
    if largest != -smallest:
        raise UnevenBatchesError(
            "Metric objects have to be logged on every process, and some process logged others, perhaps because it "
            f"had no batch. Got {names} here; expected the same names everywhere. Give every process a batch, or log "
            "a number instead of the object."
        )


def _combine(parts: Sequence[_Part], strategy: Strategy) -> list[_Part]:
    """Return the values combined over all processes, also of names that only some of them have.

    Everything travels in one exchange, in double precision.
    """
    totals: dict[str, _Part] = {}
    payloads = strategy.gather_bytes(json.dumps(parts).encode())
    for rank in strategy.speakers:
        for part in (_Part(*fields) for fields in json.loads(payloads[rank])):
            before = totals.get(part.key)
            if before is not None:
                join = {"min": min, "max": max}.get(part.op, float.__add__)
                part = part._replace(value=join(before.value, part.value), weight=before.weight + part.weight)
            totals[part.key] = part
    return [
        part._replace(value=part.value / part.weight) if part.op == "mean" and part.weight else part
        for part in totals.values()
    ]


def as_tensors(values: Mapping[str, Value]) -> dict[str, Tensor]:
    """Return the values as tensors."""
    return {key: value if isinstance(value, Tensor) else torch.tensor(value) for key, value in values.items()}


def read_numbers(values: dict[str, Value]) -> dict[str, float]:
    """Return the values as numbers, with one read for each device that holds some of them."""
    numbers = {key: float(value) for key, value in values.items() if not isinstance(value, Tensor)}
    by_device: dict[torch.device, list[str]] = {}
    for key, value in values.items():
        if isinstance(value, Tensor):
            by_device.setdefault(value.device, []).append(key)
    for keys in by_device.values():
        stacked = torch.stack([values[key].detach().reshape(()).to(torch.float64) for key in keys])  # type: ignore[union-attr]
        numbers |= dict(zip(keys, stacked.tolist(), strict=True))
    return {key: numbers[key] for key in values}
