"""Counting the arithmetic of a model, and how much of anything is done in a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Dense operations per second of the device alone, from NVIDIA's data sheets: float32 outside tensor cores, TF32 and
# 16 bits inside, without sparsity. By a part of the device's name; the first that fits.
_FLOPS: tuple[tuple[str, dict[str, float]], ...] = (
    ("h200", {"float64": 34e12, "float32": 67e12, "tf32": 494.7e12, "16": 989.4e12}),
    ("h100 pcie", {"float64": 26e12, "float32": 51e12, "tf32": 378e12, "16": 756e12}),
    ("h100", {"float64": 34e12, "float32": 67e12, "tf32": 494.7e12, "16": 989.4e12}),
    ("a100", {"float64": 9.7e12, "float32": 19.5e12, "tf32": 156e12, "16": 312e12}),
    ("a10g", {"float32": 31.2e12, "tf32": 35e12, "16": 70e12}),
    ("l40s", {"float32": 91.6e12, "tf32": 183e12, "16": 362e12}),
    ("l4", {"float32": 30.3e12, "tf32": 60e12, "16": 121e12}),
    ("v100", {"float64": 7.8e12, "float32": 15.7e12, "16": 125e12}),
    ("t4", {"float32": 8.1e12, "16": 65e12}),
)


def measure_flops(
    model: nn.Module,
    forward_fn: Callable[[], Any],
    loss_fn: Callable[[Any], Tensor] | None = None,
    display: bool = True,
) -> int:
    """Return the floating point operations of one forward pass, with `loss_fn` of the backward pass too.

    Args:
        model: named for Lightning's sake; what runs is counted.
        forward_fn: runs the forward pass. On the meta device nothing is computed.
        loss_fn: gets what `forward_fn` returned, and returns the loss to run backward from.
        display: print torch's table of the operations.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=display) as counter:
        output = forward_fn()
        if loss_fn is not None:
            loss_fn(output).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    total: int = counter.get_total_flops()
    return total


def get_available_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Return the operations that `device` can do in a second at most with `dtype`, None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device).lower()
    known = next((flops for part, flops in _FLOPS if part in name), {})
    if dtype is torch.float32 and torch.get_float32_matmul_precision() != "highest" and "tf32" in known:
        return known["tf32"]
    key = "16" if dtype in (torch.float16, torch.bfloat16) else str(dtype).removeprefix("torch.")
    return known.get(key)


class Throughput:
    """Means over the last updates of what was done in a second.

    `compute` returns the newest totals ("time", "batches", "samples", "lengths"). Once `window_size` updates were made
    it adds "device/batches_per_sec", "device/samples_per_sec", "device/items_per_sec", "device/flops_per_sec" and
    "device/mfu" (the share of `available_flops`), each where it is known, and with several processes the same without
    "device/", for all of them together.

    Args:
        available_flops: operations that one device can do in a second.
        world_size: number of processes.
        window_size: updates that a mean is taken over, at least 2.
        separator: what stands between "device" and the name.

    Raises:
        ValueError: there is no process, or a window of less than 2.
    """

    def __init__(
        self, available_flops: float | None = None, world_size: int = 1, window_size: int = 100, separator: str = "/"
    ) -> None:
        if world_size < 1 or window_size < 2:
            raise ValueError(
                f"Throughput cannot measure. Got world_size={world_size!r}, window_size={window_size!r}; expected at "
                "least 1 and 2. Correct them."
            )
        self.available_flops = available_flops
        self.world_size = world_size
        self.window_size = window_size
        self.separator = separator
        self._totals: dict[str, deque[float]] = {
            name: deque(maxlen=window_size) for name in ("time", "batches", "samples", "lengths")
        }
        self._flops: deque[float] = deque(maxlen=window_size)

    def update(
        self, *, time: float, batches: int, samples: int, lengths: int | None = None, flops: float | None = None
    ) -> None:
        """Take the totals of this process since the start, after some batches.

        Args:
            time: seconds; more than at the last update.
            batches: batches.
            samples: samples, at least one for each batch.
            lengths: items in the samples (tokens, steps), at least one for each sample.
            flops: operations since the last update, of one process.

        Raises:
            ValueError: a total is smaller than at the last update, or does not go with another.
            RuntimeError: `lengths` is given at some updates and not at others.
        """
        if samples < batches:
            raise ValueError(f"There are fewer samples than batches. Got {samples!r} and {batches!r}; pass totals.")
        if lengths is not None and lengths < samples:
            raise ValueError(f"There are fewer items than samples. Got {lengths!r} and {samples!r}; pass totals.")
        given = {"time": time, "batches": batches, "samples": samples, "lengths": lengths}
        for name, total in given.items():
            known = self._totals[name]
            # Time has to go on, or nothing could be divided by it.
            if total is not None and known and (total < known[-1] or (name == "time" and total == known[-1])):
                raise ValueError(f"`{name}` does not grow. Got {total!r} after {known[-1]!r}; pass totals.")
        if lengths is not None and len(self._totals["lengths"]) != len(self._totals["samples"]):
            raise RuntimeError("`lengths` was left out at an earlier update. Pass it at all updates, or at none.")
        for name, total in given.items():
            if total is not None:
                self._totals[name].append(total)
        if flops is not None:
            self._flops.append(flops * self.world_size)

    def compute(self) -> dict[str, float]:
        """Return the totals, and the means once the window is full."""
        metrics = {name: known[-1] for name, known in self._totals.items() if known}
        time = self._totals["time"]
        if len(time) < self.window_size:
            return metrics
        elapsed = time[-1] - time[0]
        for name, unit in (("batches", "batches"), ("samples", "samples"), ("lengths", "items")):
            known = self._totals[name]
            if len(known) == self.window_size:
                self._add(metrics, f"{unit}_per_sec", (known[-1] - known[0]) / elapsed)
        if len(self._flops) == self.window_size:
            # The first update's operations were done before the window's time began.
            own = (sum(self._flops) - self._flops[0]) / elapsed / self.world_size
            self._add(metrics, "flops_per_sec", own)
            if self.available_flops:
                metrics[f"device{self.separator}mfu"] = own / self.available_flops
        return metrics

    def _add(self, metrics: dict[str, float], name: str, of_this_process: float) -> None:
        metrics[f"device{self.separator}{name}"] = of_this_process
        if self.world_size > 1:
            metrics[name] = of_this_process * self.world_size

    def reset(self) -> None:
        """Forget everything."""
        for known in (*self._totals.values(), self._flops):
            known.clear()
