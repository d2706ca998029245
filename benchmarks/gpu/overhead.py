"""What a step of the trainer costs beside a bare loop and, where it is installed, Lightning."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.device import clear, device, is_cuda, synchronise
from benchmarks.gpu.essays import Essays, EssayScorer
from benchmarks.gpu.results import Found, guarded
from benchmarks.gpu.sizes import Sizes
from benchmarks.gpu.stand_ins import L


class Alternating:
    """Batches that are on the device already, as one long epoch; after each block of them the bare loop runs one."""

    def __init__(self, batches: list[Any], rounds: int, bare: Callable[[], None]) -> None:
        self.batches, self.rounds, self.bare = batches, rounds, bare
        self.ours: list[float] = []
        self.plain: list[float] = []

    def __len__(self) -> int:
        return len(self.batches) * self.rounds

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.rounds):
            synchronise()
            started = time.perf_counter()
            yield from self.batches
            synchronise()
            self.ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            self.bare()
            synchronise()
            self.plain.append(time.perf_counter() - started)


def scorer_of(library: Any, make: Callable[[], nn.Module], rate: float) -> Any:
    """Return a module of `library` around a network whose forward pass is its loss."""

    class Module(library.LightningModule):  # type: ignore[misc]  # known at run time only
        def __init__(self) -> None:
            super().__init__()
            self.net = make()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss: Tensor = self.net(*batch)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=rate)

    return Module()


class TinyLoss(nn.Module):
    """The smallest network: everything that is measured is overhead."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 2)

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return functional.mse_loss(self.layer(features), target)


class ScorerLoss(nn.Module):
    """The essay scorer's loss."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.scorer = EssayScorer(sizes, dropout=0.0)

    def forward(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """Return the loss."""
        return functional.mse_loss(self.scorer(tokens).float(), scores)


def measure_overhead(sizes: Sizes) -> Found:
    """Return the time of a step under the trainer, and under Lightning where it is installed, over a bare loop's."""
    essays = next(iter(Essays(sizes, sizes.essays[0], 1)))
    scored = (essays["tokens"].to(device()), essays["scores"].to(device()))
    tiny = (torch.randn(32, 32, device=device()), torch.randn(32, 2, device=device()))
    cases: dict[str, tuple[Callable[[], nn.Module], Any, str, int]] = {
        "tiny": (TinyLoss, tiny, "32-true", sizes.overhead_steps),
        "bert": (lambda: ScorerLoss(sizes), scored, "bf16-mixed", max(2, sizes.overhead_steps // 20)),
    }
    libraries: dict[str, Any] = {"trainer": L}
    if importlib.util.find_spec("lightning") is not None:
        import lightning.pytorch as pl

        libraries["lightning"] = pl
    found: Found = {}
    for case, (make, batch, precision, steps) in cases.items():
        for name, library in libraries.items():
            run = partial(overhead, library, make, [batch] * steps, precision, sizes.overhead_rounds)
            found[f"{case} {name}"] = guarded(run)
    return found


def overhead(library: Any, make: Callable[[], nn.Module], batches: list[Any], precision: str, rounds: int) -> Found:
    """Return the medians of both loops' steps, and of the ratios of neighbouring blocks."""
    clear()
    plain = make().to(device())
    optimizer = torch.optim.SGD(plain.parameters(), lr=1e-3)

    def bare() -> None:
        for batch in batches:
            optimizer.zero_grad()
            with torch.autocast(device().type, torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = plain(*batch)
            loss.backward()
            optimizer.step()

    bare()  # warm
    both = Alternating(batches, rounds, bare)
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        library.Trainer(
            accelerator="gpu" if is_cuda() else "cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder, max_epochs=1,
            precision=precision, log_every_n_steps=1_000_000,
        ).fit(scorer_of(library, make, 1e-3), both)  # fmt: skip
    warm = max(1, rounds // 5)
    ours, others = both.ours[warm:], both.plain[warm:]
    return {
        "step_us": statistics.median(ours) / len(batches) * 1e6,
        "bare_us": statistics.median(others) / len(batches) * 1e6,
        "ratio": statistics.median(a / b for a, b in zip(ours, others, strict=True)),
    }
