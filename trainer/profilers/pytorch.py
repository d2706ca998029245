"""What torch's own profiler sees: operators on CPU and GPU, memory, and a trace of them."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import EventList
from torch.profiler import ProfilerAction, ProfilerActivity

from trainer.errors import MisconfigurationException, four_parts
from trainer.profilers.profiler import Profiler

if TYPE_CHECKING:
    from trainer.configuration.readings import Readings

_STEPS_NEEDED = 5  # of the default schedule: one to wait, one to warm up, three to record


class RegisterRecordFunction:
    """Inside the block, every submodule's forward pass carries its name in a trace.

    Args:
        model: whose submodules.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._open: dict[str, list[Any]] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        for name, module in self._model.named_modules():
            if name:
                label = f"{type(module).__module__}.{type(module).__name__}: {name}"
                self._handles.append(module.register_forward_pre_hook(partial(self._begin, label)))
                self._handles.append(module.register_forward_hook(partial(self._end, label), always_call=True))

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _begin(self, label: str, *arguments: Any) -> None:
        record: Any = record_function("[pl][module]" + label)  # torch leaves it untyped
        record.__enter__()
        self._open.setdefault(label, []).append(record)

    def _end(self, label: str, *arguments: Any) -> None:
        if self._open.get(label):
            self._open[label].pop().__exit__(None, None, None)


class StepSchedule:
    """A schedule of torch's profiler that counts training, validation, test and prediction steps each by themselves.

    Each kind of step is recorded once, until its schedule says to save.
    """

    def __init__(self, schedule: Callable[[int], ProfilerAction]) -> None:
        self.schedule = schedule
        self.counts: dict[str, int] = {}
        self.kind: str | None = None
        self._done: set[str] = set()
        self._before: ProfilerAction | None = None

    def reset(self) -> None:
        """Begin again."""
        self.counts, self.kind, self._before = {}, None, None
        self._done = set()

    def __call__(self, step: int) -> ProfilerAction:
        """Return what to do next; torch's own count of steps is of no use here."""
        if self.kind is None or self.kind in self._done:
            return ProfilerAction.NONE
        self.counts[self.kind] = self.counts.get(self.kind, 0) + 1
        action = self.schedule(self.counts[self.kind])
        if self._before is ProfilerAction.RECORD and action in (ProfilerAction.WARMUP, ProfilerAction.NONE):
            action = ProfilerAction.RECORD  # another kind of step began meanwhile; torch must not stop in between
        if action is ProfilerAction.RECORD_AND_SAVE:
            self._done.add(self.kind)
        self._before = action
        return action


class PyTorchProfiler(Profiler):
    """Reports operators by torch.profiler, and writes a trace for chrome://tracing, Perfetto or TensorBoard.

    Args:
        dirpath: folder of report and traces.
        filename: of the report; without it the report is printed.
        group_by_input_shapes: tell calls with different shapes apart; needs `record_shapes=True`.
        emit_nvtx: mark operators for NVIDIA's tools instead of recording them.
        export_to_chrome: write a trace, where there is a folder.
        row_limit: rows of the report, -1 for all.
        sort_by_key: column to sort by; by default the total time on the GPU, else on the CPU.
        record_module_names: let submodules carry their names.
        table_kwargs: for torch's `EventList.table`.
        profiler_kwargs: for `torch.profiler.profile`, such as `schedule`, `profile_memory`, `with_stack`,
            `activities` and `on_trace_ready`. Without a schedule: wait for one step, warm up for one, record three.

    Raises:
        MisconfigurationException: `sort_by_key` or `schedule` cannot be used.
        KeyError: `table_kwargs` has an unknown name.
    """

    STEP_FUNCTIONS = frozenset({"training_step", "validation_step", "test_step", "predict_step"})
    AVAILABLE_SORT_KEYS = frozenset(
        {
            "cpu_time", "cuda_time", "cpu_time_total", "cuda_time_total", "cpu_memory_usage", "cuda_memory_usage",
            "self_cpu_memory_usage", "self_cuda_memory_usage", "count",
        }
    )  # fmt: skip

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        group_by_input_shapes: bool = False,
        emit_nvtx: bool = False,
        export_to_chrome: bool = True,
        row_limit: int = 20,
        sort_by_key: str | None = None,
        record_module_names: bool = True,
        table_kwargs: dict[str, Any] | None = None,
        **profiler_kwargs: Any,
    ) -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        activities = profiler_kwargs.pop("activities", None) or _default_activities()
        self._group_by_input_shapes = group_by_input_shapes and profiler_kwargs.get("record_shapes", False)
        self._emit_nvtx = emit_nvtx
        self._export_to_chrome = export_to_chrome
        self._export_to_flame_graph = bool(profiler_kwargs.pop("export_to_flame_graph", False))
        self._metric = profiler_kwargs.pop("metric", "self_cpu_time_total")
        self._row_limit = row_limit
        on_gpu = ProfilerActivity.CUDA in activities
        self._sort_by_key = sort_by_key or ("cuda_time_total" if on_gpu else "cpu_time_total")
        self._record_module_names = record_module_names
        self._table_kwargs = dict(table_kwargs or {})
        self._is_default_schedule = "schedule" not in profiler_kwargs
        schedule = profiler_kwargs.pop("schedule", None)
        if self._is_default_schedule:
            schedule = _default_schedule
        self._schedule = None if schedule is None else StepSchedule(_checked_schedule(schedule))
        self._profiler_kwargs = {
            "acc_events": True,  # the report covers training and validation, each recorded once
            **profiler_kwargs,
            "activities": activities,
            "with_stack": bool(profiler_kwargs.get("with_stack", False)) or self._export_to_flame_graph,
        }
        self._check()
        self.profiler: Any = None  # torch's profiler or emit_nvtx, while one runs
        self.function_events: Any = None
        self._register: RegisterRecordFunction | None = None
        self._parent_profiler: Any = None
        self._recording_map: dict[str, Any] = {}

    def _check(self) -> None:
        if self._sort_by_key not in self.AVAILABLE_SORT_KEYS:
            raise MisconfigurationException(
                four_parts("`sort_by_key` names no column.", got=self._sort_by_key,
                           expected=f"one of {sorted(self.AVAILABLE_SORT_KEYS)}", remedy="Correct the name.")
            )  # fmt: skip
        own = {"self", "sort_by", "row_limit"}
        known = set(inspect.signature(EventList.table).parameters) - own
        for name in self._table_kwargs:
            if name not in known:
                place = " It is an argument of PyTorchProfiler itself." if name in own else ""
                raise KeyError(f"`table_kwargs` has the unknown name {name!r}; known are {sorted(known)}.{place}")

    # Actions

    def start(self, action_name: str) -> None:
        """Begin an action; the first one begins the recording."""
        if self.profiler is None:
            self._begin()
        if self._lightning_module is not None and self._register is None and self._record_module_names:
            self._register = RegisterRecordFunction(self._lightning_module)
            self._register.__enter__()
        if action_name not in self._recording_map:
            recording: Any = record_function("[pl][profile]" + action_name)  # torch leaves it untyped
            recording.__enter__()
            self._recording_map[action_name] = recording

    def _begin(self) -> None:
        if self._emit_nvtx:
            self._parent_profiler = torch.cuda.profiler.profile()
            marking: Any = torch.autograd.profiler.emit_nvtx  # torch leaves it untyped
            self.profiler = marking(**_accepted(marking, self._profiler_kwargs))
            self._parent_profiler.__enter__()
        else:
            options = _accepted(torch.profiler.profile, self._profiler_kwargs)
            self.profiler = torch.profiler.profile(schedule=self._schedule, **options)
        self.profiler.__enter__()

    def stop(self, action_name: str) -> None:
        """End an action; after a step, torch's profiler goes on to the next."""
        recording = self._recording_map.pop(action_name, None)
        if recording is not None:
            recording.__exit__(None, None, None)
        kind = next((name for name in self.STEP_FUNCTIONS if action_name.endswith(name)), None)
        if self.profiler is None or self._emit_nvtx or kind is None:
            return
        schedule = self._schedule
        if schedule is not None:
            schedule.kind = kind
            if self._is_default_schedule and self._steps_of(kind) < _STEPS_NEEDED:
                warnings.warn(
                    f"There are fewer than {_STEPS_NEEDED} steps, too few for the profiler's default schedule: all of "
                    "them are recorded.",
                    stacklevel=2,
                )
                self._schedule = None
                self.profiler.schedule = torch.profiler.profiler._default_schedule_fn
        if "on_trace_ready" not in self._profiler_kwargs:
            self.profiler.on_trace_ready = partial(self._export, action_name)
        self.profiler.step()

    def _steps_of(self, kind: str) -> float:
        if self._lightning_module is None or self._lightning_module._trainer is None:
            return float("inf")
        trainer: Readings = self._lightning_module._trainer
        if kind == "training_step":
            return trainer.num_training_batches
        stage = kind.removesuffix("_step")
        batches = {"validation": trainer.num_val_batches, "test": trainer.num_test_batches}
        return sum(batches.get(stage, trainer.num_predict_batches))

    def _export(self, action_name: str, profiler: Any) -> None:
        if self.dirpath is None:
            warnings.warn("No trace was written: the profiler has no `dirpath`. Pass one.", stacklevel=2)
            return
        if self._export_to_chrome:
            name = self._prepare_filename(action_name=action_name, extension="")
            torch.profiler.tensorboard_trace_handler(str(self.dirpath), name)(profiler)
        if self._export_to_flame_graph:
            os.makedirs(self.dirpath, exist_ok=True)
            name = self._prepare_filename(action_name=action_name, extension=".stack")
            profiler.export_stacks(os.path.join(self.dirpath, name), metric=self._metric)

    # The end

    def summary(self) -> str:
        """Return the table of operators; ends the recording."""
        self._end()
        if self._emit_nvtx or not self.function_events:
            return ""
        averages = self.function_events.key_averages(group_by_input_shapes=self._group_by_input_shapes)
        table = averages.table(sort_by=self._sort_by_key, row_limit=self._row_limit, **self._table_kwargs)
        return self._stats_to_str({"records": table})

    def _end(self) -> None:
        if self.profiler is not None:
            for name in list(self._recording_map):
                self._recording_map.pop(name).__exit__(None, None, None)
            self.profiler.__exit__(None, None, None)
            if not self._emit_nvtx:
                # A profiler that never came to record has no events to tell of.
                self.function_events = self.profiler.events() if self.profiler.profiler is not None else None
            self.profiler = None
        if self._schedule is not None:
            self._schedule.reset()
        if self._parent_profiler is not None:
            self._parent_profiler.__exit__(None, None, None)
            self._parent_profiler = None
        if self._register is not None:
            self._register.__exit__(None, None, None)
            self._register = None

    def teardown(self, stage: str | None) -> None:
        """End a run."""
        self._end()
        self._recording_map = {}
        super().teardown(stage=stage)


def _default_schedule(step: int) -> ProfilerAction:
    """Return what to do in a step: wait for one, warm up for one, record three, and again."""
    action: ProfilerAction = torch.profiler.schedule(wait=1, warmup=1, active=3)(step)
    return action


def _default_activities() -> list[ProfilerActivity]:
    gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *gpu]


def _checked_schedule(schedule: Any) -> Callable[[int], ProfilerAction]:
    action = schedule(0) if callable(schedule) else schedule
    if not isinstance(action, ProfilerAction):
        raise MisconfigurationException(
            four_parts("`schedule` is no schedule of torch's profiler.", got=action,
                       expected="a function from a step to torch.profiler.ProfilerAction",
                       remedy="Use torch.profiler.schedule(wait=..., warmup=..., active=...).")
        )  # fmt: skip
    return schedule  # type: ignore[no-any-return]  # checked


def _accepted(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that `function` knows."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}
