"""What a profiler sees: how busy the device is, what it does, and who waits for it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.device import clear, is_cuda, synchronise
from benchmarks.gpu.essays import Essays, EssayScorer
from benchmarks.gpu.feeding import Ahead, fit
from benchmarks.gpu.results import Found, guarded
from benchmarks.gpu.sizes import Sizes
from benchmarks.gpu.stand_ins import L
from benchmarks.gpu.tracing import Students, make_tracing, tracing_loader


class Trace(L.Callback):
    """Profiles some steps in the middle of a fit.

    Args:
        first: index of the first step that is profiled.
        steps: how many.
        with_cpu: see operations on the CPU too, and the steps' own bounds; it slows the CPU down.
    """

    NAME = "measured steps"

    def __init__(self, first: int, steps: int, *, with_cpu: bool) -> None:
        self.first, self.steps, self.with_cpu = first, steps, with_cpu
        self.events: list[dict[str, Any]] = []
        self._profiler: Any = None
        self._bounds: Any = None

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Begin."""
        if trainer.global_step == self.first:
            kinds = [torch.profiler.ProfilerActivity.CUDA] if is_cuda() else []
            kinds += [torch.profiler.ProfilerActivity.CPU] if self.with_cpu or not kinds else []
            self._profiler = torch.profiler.profile(activities=kinds)
            self._profiler.__enter__()
        elif trainer.global_step == self.first + 2 and self._profiler is not None:
            self._bounds = torch.profiler.record_function(self.NAME)
            self._bounds.__enter__()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """End, and read what was seen."""
        if self._profiler is None or trainer.global_step != self.first + self.steps + 2:
            return
        self._bounds.__exit__(None, None, None)
        synchronise()
        self._profiler.__exit__(None, None, None)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "trace.json")
            self._profiler.export_chrome_trace(str(path))
            self.events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
        self._profiler = None


def busy_share(events: list[dict[str, Any]], kinds: tuple[str, ...]) -> float | None:
    """Return the share of the time in which at least one event of `kinds` ran, in the middle of the trace."""
    spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e.get("cat") in kinds and e.get("dur"))
    if not spans:
        return None
    start, end = spans[0][0], max(stop for _, stop in spans)
    low, high = start + 0.15 * (end - start), end - 0.15 * (end - start)
    covered, until = 0.0, low
    for begin, stop in spans:
        begin, stop = max(begin, until), min(stop, high)
        if stop > begin:
            covered += stop - begin
            until = stop
    return float(covered / (high - low))


def waits(events: list[dict[str, Any]], steps: int) -> Found:
    """Return how often a step waited for the device, between the bounds of the measured steps."""
    bounds = next(e for e in events if e.get("name") == Trace.NAME and e.get("cat") == "user_annotation")
    low, high = bounds["ts"], bounds["ts"] + bounds["dur"]
    inside = [e for e in events if e.get("ph") == "X" and low <= e["ts"] <= high]
    names = [str(e.get("name")) for e in inside if e.get("cat") in ("cuda_runtime", "cuda_driver")]
    found: Found = {
        name: sum(one == name for one in names) / steps
        for name in ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
    }
    found["syncs_per_step"] = sum(found.values())
    operations = [str(e.get("name")) for e in inside if e.get("cat") == "cpu_op"]
    found["items_per_step"] = sum(one == "aten::_local_scalar_dense" for one in operations) / steps
    found["launches_per_step"] = sum("LaunchKernel" in one for one in names) / steps
    found["pageable_copies"] = sum("Pageable" in str(e.get("name")) for e in inside)
    return found


def longest(events: list[dict[str, Any]], steps: int) -> list[list[Any]]:
    """Return the kernels that took most, with their ms a step and calls a step."""
    sums: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset"):
            held = sums.setdefault(str(event["name"])[:90], [0.0, 0.0])
            held[0] += event["dur"] / 1e3 / steps
            held[1] += 1 / steps
    return [[name, *held] for name, held in sorted(sums.items(), key=lambda one: -one[1][0])[:12]]


def measure_trace(sizes: Sizes, students: Students, runs: dict[str, Found]) -> Found:
    """Return how busy the device is in both trainings, and who waits for it."""
    essays = runs.get("bert", {}).get("essays", sizes.essays[0])
    windows = runs.get("dkt", {}).get("windows", sizes.windows[0])
    steps = max(2, sizes.steps // 2)

    def bert(callbacks: list[L.Callback], count: int) -> None:
        fit(EssayScorer(sizes), Ahead(Essays(sizes, essays, count)), callbacks, max_epochs=1, precision="bf16-mixed")

    def dkt(callbacks: list[L.Callback], count: int) -> None:
        loader = tracing_loader(students, sizes, windows, count)
        fit(make_tracing(sizes, students), loader, callbacks, max_epochs=1, precision="bf16-mixed",
            gradient_clip_val=1.0)  # fmt: skip

    return {name: guarded(partial(trace_of, run, sizes.warm, steps)) for name, run in (("bert", bert), ("dkt", dkt))}


def trace_of(run: Callable[[list[L.Callback], int], None], warm: int, steps: int) -> Found:
    """Return what the traces of one training say: one of the device alone, one with the CPU."""
    clear()
    torch.manual_seed(0)
    plain, full = Trace(warm, steps, with_cpu=False), Trace(warm + steps + 8, steps, with_cpu=True)
    run([plain, full], warm + 2 * steps + 14)
    return {
        "busy": busy_share(plain.events, ("kernel",)),
        "busy_with_copies": busy_share(plain.events, ("kernel", "gpu_memcpy", "gpu_memset")),
        **waits(full.events, steps),
        "longest_kernels": longest(plain.events, steps + 2),
    }
