"""Loading batches of student sequences: our loader beside a DataLoader with two worker processes.

    python benchmarks/loader.py [--windows 12000] [--rounds 7] [--json]

Both read the same memory-mapped arrays (three per step, as knowledge tracing has them; lengths of 2 to 200 with a mean
of about 36, as in short-exercise logs) and give shuffled batches padded to their longest window, with as many windows
in a batch on average. The DataLoader is set up as its users do: a map-style dataset, `pad_sequence`, two persistent
workers that are warm before the clock starts. A round is one epoch of each, one after the other. Steps per second of
wall time, as the workers use a second core. At least 20 times the DataLoader's.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from benchmarks.machine import processor_name
from components.preprocess.windows import cut_windows
from components.sequences.loader import WindowLoader
from components.sequences.windows import Windows

TARGET = 20.0
BATCH_STEPS = 1_600
ARRAYS = ("items", "skills", "responses")


def write_windows(folder: Path, windows: int) -> None:
    """Write the arrays of a split with `windows` random windows."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(3.1, 1.0, windows), 2, 200).astype(np.int64)
    starts, sizes, _ = cut_windows(lengths, 200)
    steps = int(lengths.sum())
    (folder / "train").mkdir()
    for name, array in (
        ("items", random.integers(1, 10_000, steps, np.int32)),
        ("skills", random.integers(1, 100, (steps, 1), np.int32)),
        ("responses", random.integers(0, 2, steps).astype(np.float32)),
        ("starts", starts),
        ("lengths", sizes),
    ):
        np.save(folder / "train" / f"{name}.npy", array)


class PerWindow(Dataset[tuple[torch.Tensor, ...]]):
    """One window at a time, as a map-style dataset."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows.starts_W)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, ...]:
        start = int(self.windows.starts_W[place])
        end = start + int(self.windows.lengths_W[place])
        return tuple(torch.from_numpy(self.windows.arrays[name][start:end].copy()) for name in ARRAYS)


def padded(rows: list[tuple[torch.Tensor, ...]]) -> dict[str, torch.Tensor]:
    """Collate windows, padding them to the longest."""
    out = {name: pad_sequence([row[i] for row in rows], batch_first=True) for i, name in enumerate(ARRAYS)}
    lengths = torch.tensor([len(row[0]) for row in rows])
    out["mask"] = torch.arange(int(lengths.max())) < lengths[:, None]
    return out


def epoch_seconds(loader: Iterable[dict[str, torch.Tensor]], steps: int) -> float:
    """Return the seconds of one epoch.

    Raises:
        RuntimeError: an epoch does not hold every step.
    """
    started = time.perf_counter()
    seen = sum(int(batch["mask"].sum()) for batch in loader)
    seconds = time.perf_counter() - started
    if seen != steps:
        raise RuntimeError(f"The loader gave {seen} of {steps} steps.")
    return seconds


def measure(windows: int, rounds: int) -> dict[str, Any]:
    """Return medians over the rounds."""
    with tempfile.TemporaryDirectory() as name:
        write_windows(Path(name), windows)
        data = Windows.open(Path(name), "train", ARRAYS)
        ours = WindowLoader(data, BATCH_STEPS, seed=0)
        theirs = DataLoader(
            PerWindow(data),
            batch_size=round(windows / len(ours)),
            shuffle=True,
            num_workers=2,
            collate_fn=padded,
            persistent_workers=True,
        )
        run: dict[str, Callable[[], float]] = {
            "WindowLoader": lambda: epoch_seconds(ours, data.steps),
            "DataLoader, 2 workers": lambda: epoch_seconds(theirs, data.steps),
        }
        seconds: dict[str, list[float]] = {name: [] for name in run}
        for number in range(rounds + 1):  # the first warms
            ours.set_epoch(number)
            for kind, one in run.items():
                taken = one()
                if number:
                    seconds[kind].append(taken)
        rates = {kind: data.steps / median(times) for kind, times in seconds.items()}
        ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
        return {"steps": data.steps, "batches": len(ours), "steps_per_s": rates, "ratio": median(ratios)}


def main() -> int:
    """Measure, print, and return 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options.windows, options.rounds)
    machine = f"{platform.system()} {platform.machine()}, {processor_name()}, torch {torch.__version__}"
    if options.json:
        print(json.dumps({"machine": machine, "target": TARGET, **found}, indent=1))
    else:
        print(f"{found['steps']:,} steps in {found['batches']} batches, {options.rounds} rounds; {machine}")
        for kind, rate in found["steps_per_s"].items():
            print(f"{kind:<22} {rate / 1e6:8.2f} M steps a second")
        print(f"ratio {found['ratio']:.1f}; target: at least {TARGET:.0f}")
    return int(found["ratio"] < TARGET)


if __name__ == "__main__":
    sys.exit(main())
