"""The CPU beside the GPU: the same seeds, losses side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.device import device
from benchmarks.gpu.essays import Essays, EssayScorer
from benchmarks.gpu.feeding import fit
from benchmarks.gpu.results import Found
from benchmarks.gpu.sizes import SMALL, Sizes
from benchmarks.gpu.stand_ins import L, WindowLoader
from benchmarks.gpu.tracing import Students, make_tracing


class Losses(L.Callback):
    """Keeps every loss on the device; reading them waits once, at the end."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Keep."""
        self.kept.append((outputs["loss"] if isinstance(outputs, dict) else outputs).detach())


def measure_parity(sizes: Sizes, students: Students) -> Found:
    """Return the largest differences of 20 losses between the CPU and the device, in float32 and bf16-mixed."""
    small = Sizes(**{**{name: getattr(SMALL, name) for name in SMALL.__slots__}, "hidden": 32, "width": 64})
    torch.backends.cudnn.allow_tf32 = False  # or the LSTM's products are TF32
    loader = WindowLoader(students.train, 16 * sizes.answers, seed=3)
    models: dict[str, tuple[Callable[[], Any], Any]] = {
        "bert": (lambda: EssayScorer(small, dropout=0.0), Essays(small, 8, 20)),
        "dkt": (lambda: make_tracing(small, students, dropout=0.0, unknown_share=0.0), loader),
    }
    found: Found = {}
    for name, (make, batches) in models.items():
        for precision in ("32-true", "bf16-mixed"):
            losses = {}
            for kind in ("cpu", device().type):
                L.seed_everything(5, verbose=False)
                kept = Losses()
                fit(make(), batches, [kept], max_steps=20, max_epochs=-1, accelerator=kind, precision=precision)
                losses[kind] = torch.stack(kept.kept).float().cpu()
            difference = (losses["cpu"] - losses[device().type]).abs().max().item()
            found[f"{name} {precision}"] = {"largest_difference": difference, "last_loss": losses["cpu"][-1].item()}
    found["parity"] = max(found[f"{name} 32-true"]["largest_difference"] for name in models)
    return found
