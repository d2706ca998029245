"""Training on a GPU: what the trainer reaches of what the device can do. Needs torch, numpy and this repository only.

    python -m benchmarks.gpu [--sections floors,bert,...] [--output gpu.json] [--compile] [--small]

Every section is measured by itself: one that fails leaves its error in the results, and the others go on. What is
measured is timed with events of the device, after steps that warm it up, and medians are reported. The training loops
are the Trainer's, unless a bare loop is named.

    floors    rates of matrix products (bfloat16, float32, TF32) and of copies; the error of a bfloat16 product
    bert      an essay scorer of BERT-base's shape, bf16-mixed, 512 tokens: model FLOPs as a share of the bfloat16 rate
    dkt       knowledge tracing (hidden 256, 200 steps), input pipeline on: interactions a second, and the AUC reached
    trace     both again under a profiler: how busy the device is, what it does, and who waits for it
    parity    the same seeds on the CPU and on the GPU: losses side by side
    overhead  a step of the trainer beside a bare loop and, where it is installed, Lightning

`--small` shrinks everything, so that it runs in seconds anywhere, also on a CPU: it checks that all of it works.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.util
import io
import itertools
import json
import math
import platform
import queue
import statistics
import sys
import tempfile
import threading
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional


def roc_auc(right: npt.NDArray[Any], scores: npt.NDArray[Any]) -> float:
    """Return the area under the ROC curve: how often a right answer has the higher score, ties counting half."""
    order = np.argsort(scores, kind="stable")
    values, counts = np.unique(scores[order], return_counts=True)
    ranks = np.repeat(np.cumsum(counts) - (counts - 1) / 2, counts)
    is_right = np.asarray(right, bool)[order]
    positive, negative = int(is_right.sum()), int((~is_right).sum())
    assert len(values) > 0 < positive * negative, "both answers have to occur"
    return float((ranks[is_right].sum() - positive * (positive + 1) / 2) / (positive * negative))


@contextlib.contextmanager
def stand_in() -> Iterator[None]:
    """Give simple forms of two packages, inside the block, that are imported there and may be missing here."""
    made = []
    for name, attribute, value in (("tqdm", "tqdm", object), ("sklearn.metrics", "roc_auc_score", roc_auc)):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            continue
        parts = name.split(".")
        for path in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
            sys.modules[path] = types.ModuleType(path)
            made.append(path)
        setattr(sys.modules[name], attribute, value)
    yield
    for path in made:
        del sys.modules[path]  # others look for the package, torch among them


with stand_in():
    import trainer as L
    from components.sequences.loader import WindowLoader
    from components.sequences.windows import Windows
    from components.simulate.config import SimulateConfig
    from components.simulate.model import simulate_answers
    from flows.knowledge_tracing.model import DeepKnowledgeTracing

    L.Trainer  # noqa: B018 - names of the trainer are imported when they are first asked for

Batch = dict[str, Tensor]
Found = dict[str, Any]
GOALS = {
    "bert_share": 0.40,
    "dkt_interactions_per_s": 25e6,
    "busy": 0.95,
    "syncs_per_step": 0.0,
    "parity": 1e-3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large everything is.

    Attributes:
        matrix: side of the matrices of the floors.
        copy: bytes of the copies.
        layers, width, heads, tokens, words: of the essay scorer.
        essays: batch sizes that are tried.
        hidden, answers, students, checked: of knowledge tracing, the last one students of the validation.
        windows: batch sizes that are tried.
        epochs: of the training whose AUC is reported.
        warm, steps: optimizer steps before and while it is measured.
        overhead_steps, overhead_rounds: of a block, and blocks.
    """

    matrix: int = 8192
    copy: int = 2**30
    layers: int = 12
    width: int = 768
    heads: int = 12
    tokens: int = 512
    words: int = 30_522
    essays: tuple[int, ...] = (32, 64, 128)
    hidden: int = 256
    answers: int = 200
    students: int = 65_536
    checked: int = 4_096
    windows: tuple[int, ...] = (1_024, 2_048, 4_096, 8_192)
    epochs: int = 20
    warm: int = 15
    steps: int = 40
    overhead_steps: int = 100
    overhead_rounds: int = 20


SMALL = Sizes(
    matrix=128, copy=2**16, layers=2, width=32, heads=2, tokens=16, words=50, essays=(2, 4), hidden=8, answers=10,
    students=64, checked=32, windows=(8, 16), epochs=3, warm=2, steps=4, overhead_steps=5, overhead_rounds=4,
)  # fmt: skip


# The device


def device() -> torch.device:
    """Return where everything runs."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def is_cuda() -> bool:
    """Return whether a GPU of CUDA is there."""
    return device().type == "cuda"


def synchronise() -> None:
    """Wait for everything that the device was given."""
    if is_cuda():
        torch.cuda.synchronize()


def mark() -> Any:  # an event, or a time
    """Note this place in the stream of work, without waiting for it."""
    if not is_cuda():
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    event.record()
    return event


def between(first: Any, second: Any) -> float:
    """Return the seconds between two marks; the device has passed both."""
    return float(first.elapsed_time(second)) / 1e3 if is_cuda() else float(second - first)


def clear() -> None:
    """Let go of what earlier sections left, and begin to count memory anew."""
    gc.collect()
    if is_cuda():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float | None:
    """Return the most memory that tensors had at once."""
    return torch.cuda.max_memory_allocated() / 2**30 if is_cuda() else None


def timed(run: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of a call, after three that do not count."""
    for _ in range(3):
        run()
    synchronise()
    found = []
    for _ in range(repeats):
        first = mark()
        run()
        second = mark()
        synchronise()
        found.append(between(first, second))
    return statistics.median(found)


# Floors


def measure_floors(sizes: Sizes) -> Found:
    """Return what the device can do at best."""
    side, found = sizes.matrix, {}
    flops = 2 * side**3
    for name, dtype, precision in (
        ("bf16", torch.bfloat16, "highest"),
        ("fp32", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
    ):
        one, other = (torch.randn(side, side, device=device(), dtype=dtype) for _ in range(2))
        out = torch.empty_like(one)
        with matmul_precision(precision):
            found[f"{name}_tflops"] = flops / timed(partial(torch.mm, one, other, out=out), 20) / 1e12
    # The shapes of the essay scorer: what its own products could reach at most.
    rows = sizes.essays[-1] * sizes.tokens
    a = torch.randn(rows, sizes.width, device=device(), dtype=torch.bfloat16)
    b = torch.randn(sizes.width, 4 * sizes.width, device=device(), dtype=torch.bfloat16)
    found["bf16_tflops_of_a_layer"] = 2 * rows * 4 * sizes.width**2 / timed(lambda: a @ b, 20) / 1e12
    source = torch.empty(sizes.copy, dtype=torch.uint8, device=device())
    target = torch.empty_like(source)
    found["copy_gb_per_s"] = 2 * sizes.copy / timed(lambda: target.copy_(source), 20) / 1e9
    host = torch.empty(min(sizes.copy, 2**28), dtype=torch.uint8, pin_memory=is_cuda())
    there = target[: len(host)]
    found["from_host_gb_per_s"] = len(host) / timed(lambda: there.copy_(host, non_blocking=True), 10) / 1e9
    exact = torch.randn(256, 256, dtype=torch.float64)
    product = (exact.to(device(), torch.bfloat16) @ exact.to(device(), torch.bfloat16)).double().cpu()
    found["bf16_product_error"] = float((product - exact @ exact).norm() / (exact @ exact).norm())
    return found


@contextlib.contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Let float32 products be exact ("highest") or TF32 ("high") inside the block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


# The essay scorer


class Layer(nn.Module):
    """One layer of a transformer encoder, normalised after each part as in BERT."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.share = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.first_norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.second_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, width) for (B, T, width)."""
        batch, tokens, width = x.shape
        parts = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        share = self.share if self.training else 0.0
        seen = functional.scaled_dot_product_attention(query, key, value, dropout_p=share)
        x = self.first_norm(x + self.dropout(self.mix(seen.transpose(1, 2).reshape(batch, tokens, width))))
        out: Tensor = self.second_norm(x + self.dropout(self.down(functional.gelu(self.up(x)))))
        return out


class EssayScorer(L.LightningModule):
    """An encoder of BERT's shape with one score over the mean of its last layer."""

    def __init__(self, sizes: Sizes, dropout: float = 0.1) -> None:
        super().__init__()
        self.words = nn.Embedding(sizes.words, sizes.width)
        self.places = nn.Embedding(sizes.tokens, sizes.width)
        self.norm = nn.LayerNorm(sizes.width)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([Layer(sizes.width, sizes.heads, dropout) for _ in range(sizes.layers)])
        self.score = nn.Linear(sizes.width, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores (B,) for tokens (B, T)."""
        x = self.dropout(self.norm(self.words(tokens) + self.places.weight[: tokens.shape[1]]))
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.score(x.mean(1)).squeeze(-1)
        return out

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the squared error, logged."""
        loss = functional.mse_loss(self(batch["tokens"]).float(), batch["scores"])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, one fused kernel."""
        return torch.optim.AdamW(self.parameters(), lr=1e-4, fused=True)


def scorer_flops(sizes: Sizes, essays: int) -> float:
    """Return the floating point operations of one step: those of the products, thrice for forward and backward."""
    width, tokens = sizes.width, sizes.tokens
    layer = 24 * width**2 + 4 * tokens * width  # of a token: projections and feed-forward, attention
    return 3.0 * (essays * tokens * sizes.layers * layer + essays * 2 * width)


def counted_flops(sizes: Sizes) -> float:
    """Return what torch counts for one essay, on a device without memory."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = EssayScorer(sizes, dropout=0.0)
        tokens = torch.zeros(1, sizes.tokens, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens).sum().backward()
    return float(counter.get_total_flops())


class Essays:
    """Random essays; a batch is gathered from a pool on the CPU."""

    def __init__(self, sizes: Sizes, essays: int, count: int) -> None:
        generator = torch.Generator().manual_seed(1)
        self.pool = torch.randint(sizes.words, (4 * essays, sizes.tokens), generator=generator)
        self.scores = torch.rand(4 * essays, generator=generator)
        self.essays, self.count = essays, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(2)
        for _ in range(self.count):
            rows = torch.randint(len(self.pool), (self.essays,), generator=generator)
            yield {"tokens": self.pool[rows], "scores": self.scores[rows]}


# Data on their way


class Ahead:
    """Makes batches in a thread and brings them to the device on a stream of their own, a few ahead of the training.

    Attributes:
        waited: seconds that the training waited for a batch.
    """

    def __init__(self, loader: Any, depth: int = 4) -> None:
        self.loader = loader
        self.depth = depth
        self.waited = 0.0
        self._stream: Any = torch.cuda.Stream() if is_cuda() else None  # type: ignore[no-untyped-call]  # as above

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(epoch)

    def __iter__(self) -> Iterator[Batch]:
        made: queue.Queue[Any] = queue.Queue(maxsize=self.depth)
        stopped = threading.Event()

        def put(item: object) -> None:
            while not stopped.is_set():
                with contextlib.suppress(queue.Full):
                    made.put(item, timeout=0.1)
                    return

        def work() -> None:
            try:
                for batch in self.loader:
                    put(self._sent(batch))
                    if stopped.is_set():
                        return
                put(None)
            except BaseException as error:
                put(error)

        thread = threading.Thread(target=work, name="batches", daemon=True)
        thread.start()
        try:
            while True:
                started = time.perf_counter()
                item = made.get()
                self.waited += time.perf_counter() - started
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield self._arrived(*item)
        finally:
            stopped.set()
            thread.join()

    def _sent(self, batch: Batch) -> tuple[Batch, Any]:
        if self._stream is None:
            return batch, None
        with torch.cuda.stream(self._stream):
            there = {name: value.pin_memory().to(device(), non_blocking=True) for name, value in batch.items()}
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # as above
            event.record(self._stream)
        return there, event

    def _arrived(self, batch: Batch, event: Any) -> Batch:
        if event is not None:
            stream = torch.cuda.current_stream()
            stream.wait_event(event)
            for value in batch.values():
                value.record_stream(stream)  # its memory is not used again before the training is done with it
        return batch


class Repeated:
    """Epochs of a loader one after the other, as one long epoch: its end is no part of a step."""

    def __init__(self, loader: Any, count: int) -> None:
        self.loader, self.count = loader, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        left = self.count
        for epoch in itertools.count():
            self.loader.set_epoch(epoch)
            for batch in itertools.islice(self.loader, left):
                left -= 1
                yield batch
            if not left:
                return


class Marks(L.Callback):
    """Marks the end of every step in the stream of the device."""

    def __init__(self) -> None:
        self.marks: list[Any] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Mark."""
        self.marks.append(mark())

    def seconds(self, warm: int) -> list[float]:
        """Return how long each step took, without those that warm up."""
        synchronise()
        kept = self.marks[warm:]
        return [between(one, two) for one, two in itertools.pairwise(kept)]


def make_trainer(folder: str, callbacks: list[L.Callback], **options: Any) -> L.Trainer:
    """Return a trainer that shows and keeps nothing, on the device."""
    defaults: dict[str, Any] = {
        "accelerator": device().type, "devices": 1, "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
        "default_root_dir": folder, "log_every_n_steps": 1_000_000, "limit_val_batches": 0,
    }  # fmt: skip
    return L.Trainer(callbacks=callbacks, **(defaults | options))


def fit(model: Any, loader: Any, callbacks: list[L.Callback], *, checks: Any = None, **options: Any) -> L.Trainer:
    """Train and return the trainer."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitter = make_trainer(folder, callbacks, **options)
        fitter.fit(model, loader, checks)
        return fitter


def measure_bert(sizes: Sizes, floors: Found, *, compiles: bool) -> Found:
    """Return what the essay scorer reaches at each batch size."""
    formula, counted = scorer_flops(sizes, 1), counted_flops(sizes)
    found: Found = {"flops_per_essay": formula, "flops_counted_by_torch": counted}
    assert abs(formula / counted - 1) < 0.01, f"the formula says {formula:.4g}, torch counts {counted:.4g}"
    tried = [(essays, False) for essays in sizes.essays] + ([(sizes.essays[-1], True)] if compiles else [])
    found["runs"] = [guarded(partial(run_bert, sizes, floors, essays, compiled=c)) for essays, c in tried]
    good = [run for run in found["runs"] if "error" not in run]
    return found | max(good, key=lambda run: run["tflops"]) if good else found


def run_bert(sizes: Sizes, floors: Found, essays: int, *, compiled: bool) -> Found:
    """Return what the essay scorer reaches at one batch size."""
    clear()
    torch.manual_seed(0)
    model = EssayScorer(sizes)
    marks, loader = Marks(), Ahead(Essays(sizes, essays, sizes.warm + sizes.steps + 1))
    given: Any = torch.compile(model) if compiled else model
    started = time.perf_counter()
    fit(given, loader, [marks], max_epochs=1, precision="bf16-mixed")
    seconds = marks.seconds(sizes.warm)
    rate = scorer_flops(sizes, essays) / statistics.median(seconds) / 1e12
    best = floors.get("bf16_tflops")
    return {
        "essays": essays, "compiled": compiled, "step_ms": statistics.median(seconds) * 1e3,
        "slowest_ms": max(seconds) * 1e3, "tflops": rate, "bert_share": rate / best if best else None,
        "essays_per_s": essays / statistics.median(seconds), "peak_gib": peak_gib(),
        "waited_share": loader.waited / (time.perf_counter() - started),
    }  # fmt: skip


# Knowledge tracing


@dataclass(frozen=True, slots=True)
class Students:
    """Simulated answers as arrays of knowledge tracing, and how well the truth itself tells right from wrong."""

    train: Windows
    check: Windows
    items: int
    skills: int
    oracle_auc: float


def simulate(sizes: Sizes) -> Students:
    """Return students who answer `sizes.answers` problems each; of a problem's skills the main one counts."""
    count = sizes.students + sizes.checked
    skills, items = (20, 200) if sizes.students > 1_000 else (5, 20)
    config = SimulateConfig(
        students=count, skills=skills, items=items, answers_min=sizes.answers, answers_max=sizes.answers
    )
    answers = simulate_answers(config)
    order = np.lexsort((answers.time_ms, answers.student))
    lengths = np.bincount(answers.student, minlength=count).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    item = answers.item[order]
    arrays: dict[str, npt.NDArray[Any]] = {  # 0 is padding, 1 an unknown item or skill
        "items": (item + 2).astype(np.int32),
        "skills": (answers.items.skills_IK[item, :1] + 2).astype(np.int32),
        "responses": answers.correct[order].astype(np.float32),
    }
    scored = {**arrays, "scored": np.ones(len(item), bool)}
    first = int(starts[sizes.students])
    return Students(
        train=Windows(arrays, starts[: sizes.students], lengths[: sizes.students]),
        check=Windows(scored, starts[sizes.students :], lengths[sizes.students :]),
        items=items + 2,
        skills=skills + 2,
        oracle_auc=roc_auc(arrays["responses"][first:], answers.probability[order][first:]),
    )


def make_tracing(sizes: Sizes, students: Students, **network: Any) -> DeepKnowledgeTracing:
    """Return homeroom's own model."""
    values = {"network": "dkt", "width": max(8, sizes.hidden // 2), "hidden": sizes.hidden, **network}
    return DeepKnowledgeTracing(
        items=students.items, skills=students.skills, max_skills=1, network=values, learning_rate=1e-2
    )


def tracing_loader(students: Students, sizes: Sizes, windows: int, count: int | None = None) -> Ahead:
    """Return shuffled batches of so many windows, gathered and sent ahead; `count` of them in an epoch, if given."""
    loader = WindowLoader(students.train, windows * sizes.answers, seed=1)
    return Ahead(loader if count is None else Repeated(loader, count))


def measure_dkt(sizes: Sizes, students: Students) -> Found:
    """Return interactions a second at each batch size, and the AUC that the fastest one reaches."""
    runs = [guarded(partial(run_dkt, sizes, students, windows)) for windows in sizes.windows]
    good = [run for run in runs if "error" not in run]
    if not good:
        return {"runs": runs}
    best = max(good, key=lambda run: run["dkt_interactions_per_s"])
    return {"runs": runs, **best, **guarded(lambda: reach_auc(sizes, students, best["windows"]))}


def run_dkt(sizes: Sizes, students: Students, windows: int) -> Found:
    """Return interactions a second at one batch size."""
    clear()
    L.seed_everything(0, verbose=False)
    marks, loader = Marks(), tracing_loader(students, sizes, windows, sizes.warm + sizes.steps + 1)
    started = time.perf_counter()
    fit(make_tracing(sizes, students), loader, [marks], max_epochs=1, precision="bf16-mixed", gradient_clip_val=1.0)
    took = time.perf_counter() - started
    seconds = marks.seconds(sizes.warm)
    interactions = windows * sizes.answers
    return {
        "windows": windows, "step_ms": statistics.median(seconds) * 1e3,
        "dkt_interactions_per_s": interactions / statistics.median(seconds),
        "mean_interactions_per_s": interactions * len(seconds) / sum(seconds),
        "peak_gib": peak_gib(), "waited_share": loader.waited / took,
    }  # fmt: skip


def reach_auc(sizes: Sizes, students: Students, windows: int) -> Found:
    """Return the AUC on other students at this batch size and at a small one, and that of the truth."""
    small = max(2, sizes.windows[0] // 16)
    large_auc, large_steps = train_dkt(sizes, students, windows, sizes.epochs)
    small_auc, small_steps = train_dkt(sizes, students, small, max(1, sizes.epochs // 8))
    return {
        "auc": large_auc, "auc_steps": large_steps, "auc_epochs": sizes.epochs, "auc_of_the_truth": students.oracle_auc,
        "auc_of_small_batches": small_auc, "small_windows": small, "small_steps": small_steps,
    }  # fmt: skip


def train_dkt(sizes: Sizes, students: Students, windows: int, epochs: int) -> tuple[float, int]:
    """Return the AUC on other students after so many epochs, and the steps that they had."""
    clear()
    L.seed_everything(0, verbose=False)
    checks = WindowLoader(students.check, 64 * sizes.answers)
    fitter = fit(make_tracing(sizes, students), tracing_loader(students, sizes, windows), [], checks=checks,
                 max_epochs=epochs, check_val_every_n_epoch=epochs, limit_val_batches=1.0, precision="bf16-mixed",
                 gradient_clip_val=1.0)  # fmt: skip
    return float(fitter.callback_metrics["valid_auc"]), fitter.global_step


# Traces


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


# The CPU beside the GPU


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


# What the trainer costs


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


# All of it


def guarded(run: Callable[[], Found]) -> Found:
    """Return what `run` returns, or its error."""
    try:
        return run()
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()[-2000:]}


SECTIONS = ("floors", "bert", "dkt", "trace", "parity", "overhead")


def measure(sizes: Sizes, sections: Iterable[str], *, compiles: bool, keep: Callable[[Found], None]) -> Found:
    """Run the sections, giving `keep` everything found so far after each."""
    found: Found = {"machine": machine(), "goals": GOALS}
    chosen = list(sections)
    made: list[Students] = []

    def students() -> Students:
        if not made:
            made.append(simulate(sizes))
        return made[0]

    runs: dict[str, Callable[[], Found]] = {
        "floors": lambda: measure_floors(sizes),
        "bert": lambda: measure_bert(sizes, found.get("floors", {}), compiles=compiles),
        "dkt": lambda: measure_dkt(sizes, students()),
        "trace": lambda: measure_trace(sizes, students(), found),
        "parity": lambda: measure_parity(sizes, students()),
        "overhead": lambda: measure_overhead(sizes),
    }
    for name in chosen:
        started = time.perf_counter()
        print(f"{name} ...", file=sys.stderr, flush=True)
        clear()
        found[name] = guarded(runs[name])
        found[name]["seconds"] = time.perf_counter() - started
        print(f"{name}: {found[name]['seconds']:.1f} s", file=sys.stderr, flush=True)
        keep(found)
    return found


def machine() -> Found:
    """Return what this ran on."""
    found: Found = {"python": platform.python_version(), "torch": torch.__version__, "system": platform.platform()}
    if is_cuda():
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "memory_gib": properties.total_memory / 2**30, "cuda": torch.version.cuda}
        found["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # as above
    return found


def table(found: Found) -> str:
    """Return the results as a table, with the goals."""
    rows = [("what", "found", "goal"), ("---", "---:", "---:")]

    def add(what: str, value: object, goal: str = "", form: str = "{:.3g}") -> None:
        rows.append((what, form.format(value) if isinstance(value, int | float) else "-", goal))

    floors, bert, dkt = (found.get(name, {}) for name in ("floors", "bert", "dkt"))
    for name in ("bf16_tflops", "fp32_tflops", "tf32_tflops", "bf16_tflops_of_a_layer"):
        add(name.replace("_", " "), floors.get(name), form="{:.4g}")
    add("copies on the device, GB/s", floors.get("copy_gb_per_s"))
    add("copies from the host, GB/s", floors.get("from_host_gb_per_s"))
    how = f"{bert.get('essays')} essays{', compiled' if bert.get('compiled') else ''}"
    add(f"essay scorer ({how}), TFLOP/s", bert.get("tflops"), form="{:.4g}")
    add("share of the bf16 rate", bert.get("bert_share"), "0.40")
    add("peak memory, GiB", bert.get("peak_gib"))
    add(f"knowledge tracing ({dkt.get('windows')} windows), million interactions/s",
        dkt.get("dkt_interactions_per_s", math.nan) / 1e6, "25")  # fmt: skip
    add("AUC of small batches", dkt.get("auc_of_small_batches"), form="{:.4f}")
    add("AUC reached", dkt.get("auc"), f"{dkt.get('auc_of_the_truth', math.nan):.4f} is the truth's", "{:.4f}")
    add("peak memory, GiB", dkt.get("peak_gib"))
    for name, one in found.get("trace", {}).items():
        if isinstance(one, dict) and "error" not in one:
            add(f"{name}: busy", one["busy"], "0.95")
            add(f"{name}: waits for the device a step", one["syncs_per_step"], "0")
            add(f"{name}: `item` a step", one["items_per_step"], "0")
    for name, one in found.get("parity", {}).items():
        if isinstance(one, dict):
            add(f"parity with the CPU: {name}", one["largest_difference"], "0.001" if "32" in name else "")
    for name, one in found.get("overhead", {}).items():
        if isinstance(one, dict) and "error" not in one:
            add(f"overhead: {name}, us a step ({one['bare_us']:.0f} bare)", one["step_us"], form="{:.0f}")
            add(f"overhead: {name}, ratio", one["ratio"])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    errors = [f"\n{name} failed: {one['error']}" for name, one in walk(found) if "error" in one]
    return "\n".join([*lines, *errors])


def walk(found: Found, path: str = "") -> Iterator[tuple[str, Found]]:
    """Yield every dict in the results with the way to it."""
    yield path or "all", found
    for name, value in found.items():
        inner = value if isinstance(value, list) else [value]
        for one in inner:
            if isinstance(one, dict):
                yield from walk(one, f"{path}/{name}" if path else name)


def main() -> int:
    """Measure, print, and return 1 where a section failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", default=",".join(SECTIONS), help="some of them, by name")
    parser.add_argument("--output", type=Path, help="where the results go as JSON, after every section")
    parser.add_argument("--compile", action="store_true", help="run the essay scorer under torch.compile too")
    parser.add_argument("--small", action="store_true", help="check that it works, on any device")
    options = parser.parse_args()
    chosen = [name for name in options.sections.split(",") if name]
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {unknown[0]!r}; there are: {', '.join(SECTIONS)}")

    def keep(found: Found) -> None:
        if options.output is not None:
            options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")

    found = measure(SMALL if options.small else Sizes(), chosen, compiles=options.compile, keep=keep)
    print(json.dumps(found["machine"]))
    print(table(found))
    return int(any("error" in one for _, one in walk(found)))


if __name__ == "__main__":
    sys.exit(main())
