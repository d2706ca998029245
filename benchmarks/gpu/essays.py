"""An essay scorer of BERT-base's shape: its operations, and how many of them a second are reached."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.device import clear, peak_gib
from benchmarks.gpu.feeding import Ahead, Marks, fit
from benchmarks.gpu.results import Found, guarded
from benchmarks.gpu.sizes import Batch, Sizes
from benchmarks.gpu.stand_ins import L


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
