"""One call of fit, validate, test or predict in processes of its own, and what this process keeps of it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from trainer.errors import MisconfigurationException, four_parts
from trainer.launching.environments import detect_environment
from trainer.launching.spawning import CPUPickler, ScriptUnpickler, run_in_processes
from trainer.loops import runner
from trainer.loops.state import Status
from trainer.types import PlainState, Stage

if TYPE_CHECKING:
    from trainer.callback import Callback
    from trainer.trainer import Trainer


def run_in_new_processes(trainer: Trainer, stage: Stage, ckpt_path: str | None) -> Any:
    """Run `stage` in one new process per device; return what it returns there on rank zero.

    Afterwards the model here has the weights, and the trainer its counters, metrics, flags and state; callbacks have
    the attributes that they had on rank zero.

    Raises:
        MisconfigurationException: several machines, or something that cannot be pickled.
        ProcessFailedError: a process failed; the message has the first one's traceback.
    """
    if trainer.num_nodes > 1:
        raise MisconfigurationException(
            four_parts(
                "Processes of torch.multiprocessing stay on one machine.",
                got=f"num_nodes={trainer.num_nodes}",
                expected="num_nodes=1",
                remedy="Pass strategy='ddp' and start the script on every machine with torchrun.",
            )
        )
    module = trainer.lightning_module
    module._trainer = trainer
    runner.add_module_callbacks(trainer)
    if trainer.loggers:
        _ = trainer.loggers[0].log_dir  # the version is chosen once, for all processes and the next run
    trainer.state.fn, trainer.state.status = stage, Status.RUNNING
    positions, trainer._positions = trainer._positions, None
    work = _StageWork(trainer, stage, ckpt_path, positions)
    parts = {
        f"the module {type(module).__name__}": module,
        **{f"the callback {type(callback).__name__}": callback for callback in trainer.callbacks},
        **{f"the logger {type(logger).__name__}": logger for logger in trainer.loggers},
        "the data module": trainer.datamodule,
        **{f"the loader for {name}": loader for name, loader in trainer.sources.given.items()},
        f"the strategy {type(trainer.strategy).__name__}": trainer.strategy,
        "the plugins": trainer.plugins,
        "the profiler": trainer.profiler,
    }
    try:
        outcomes = run_in_processes(work, trainer.devices.count, trainer.strategy.start_method, parts)
    except BaseException:
        trainer.state.status = Status.INTERRUPTED
        raise
    finally:
        trainer.state.fn = trainer.state.stage = None
    outcome: _Outcome = outcomes[0]
    outcome.apply(trainer)
    if any(one.position is not None for one in outcomes):
        trainer._positions = [one.position for one in outcomes]
    return outcome.result


@dataclass(slots=True)
class _StageWork:
    """What each new process does."""

    trainer: Trainer
    stage: Stage
    ckpt_path: str | None
    positions: list[PlainState | None] | None

    def __call__(self) -> _Outcome:
        trainer = self.trainer
        trainer._placement.found = detect_environment()
        if self.positions is not None:
            trainer._position = self.positions[trainer._placement.found.rank]
        result = runner.run_stage(trainer, self.stage, self.ckpt_path)
        return _Outcome.of(trainer, result, changed=self.stage == "fit" or self.ckpt_path is not None)


@dataclass(slots=True)
class _Outcome:
    """What a process hands back; of all but rank zero, only where its loader stopped inside an epoch.

    Attributes:
        result: of the run.
        position: where the loader stopped inside an epoch.
        parts: of the trainer, by attribute.
        weights: of the model, None where the run could not change them.
        callbacks: attributes of each callback, pickled with stand-ins for the trainer and its parts; those that can
            be, each alone.
    """

    result: Any = None
    position: PlainState | None = None
    parts: dict[str, Any] | None = None
    weights: bytes | None = None
    callbacks: dict[tuple[str, int], dict[str, bytes]] | None = None

    @classmethod
    def of(cls, trainer: Trainer, result: Any, *, changed: bool) -> _Outcome:
        if not trainer.is_global_zero:
            return cls(position=trainer._position)
        weights = None
        if changed:
            buffer = io.BytesIO()
            torch.save(trainer.lightning_module.state_dict(), buffer)
            weights = buffer.getvalue()
        metrics = trainer.metrics
        parts = {
            "state": trainer.state,
            "train_state": trainer.train_state,
            "flags": trainer.flags.bits,
            "ckpt_path": trainer.ckpt_path,
            "_run_dir": trainer._run_dir,
            "metrics": (metrics.callback_metrics, metrics.logged_metrics, metrics.progress_bar_metrics),
        }
        callbacks = {key: _attributes(trainer, callback) for key, callback in _numbered(trainer.callbacks).items()}
        return cls(result, trainer._position, parts, weights, callbacks)

    def apply(self, trainer: Trainer) -> None:
        """Give the trainer of the starting process what the run left."""
        parts = dict(self.parts or {})
        trainer.flags.bits = parts.pop("flags")
        trainer.metrics.take_over(*parts.pop("metrics"))
        for name, value in parts.items():
            setattr(trainer, name, value)
        if self.weights is not None:
            state = torch.load(io.BytesIO(self.weights), map_location="cpu", weights_only=True)
            module = trainer.lightning_module
            if not set(state) <= set(module.state_dict()):
                module.configure_model()  # layers that are built under the strategy
            module.load_state_dict(state, strict=False)  # others may have come or gone in hooks
        own = _numbered(trainer.callbacks)
        for key, attributes in (self.callbacks or {}).items():
            if key in own:
                own[key].__dict__ |= {name: _Unpickler(data, trainer).load() for name, data in attributes.items()}


def _numbered(callbacks: Sequence[Callback]) -> dict[tuple[str, int], Callback]:
    """Return the callbacks by class and by place among those of their class."""
    found: dict[tuple[str, int], Callback] = {}
    for callback in callbacks:
        kind = type(callback).__qualname__  # in a new interpreter, the script's module has another name
        found[kind, sum(name == kind for name, _ in found)] = callback
    return found


def _attributes(trainer: Trainer, callback: Callback) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, value in callback.__dict__.items():
        buffer = io.BytesIO()
        with contextlib.suppress(Exception):  # whatever users keep in their callbacks
            _Pickler(buffer, trainer).dump(value)
            found[name] = buffer.getvalue()
    return found


def _stand_ins(trainer: Trainer) -> dict[str, Any]:
    """Return what callbacks may refer to and the starting process has itself."""
    found = {"trainer": trainer, "module": trainer.lightning_module, "datamodule": trainer.datamodule}
    found |= {f"logger-{index}": logger for index, logger in enumerate(trainer.loggers)}
    found["strategy"] = trainer.strategy
    return {name: part for name, part in found.items() if part is not None}


class _Pickler(CPUPickler):
    """Pickles attributes of a callback; the trainer and its parts by name."""

    def __init__(self, file: io.BytesIO, trainer: Trainer) -> None:
        super().__init__(file)
        self._names = {id(part): name for name, part in _stand_ins(trainer).items()}

    def persistent_id(self, obj: Any) -> str | None:
        return self._names.get(id(obj))


class _Unpickler(ScriptUnpickler):
    def __init__(self, data: bytes, trainer: Trainer) -> None:
        super().__init__(io.BytesIO(data))
        self._parts = _stand_ins(trainer)

    def persistent_load(self, name: str) -> Any:
        return self._parts[name]
