"""What the device can do at best."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.gpu.device import device, is_cuda, timed
from benchmarks.gpu.results import Found
from benchmarks.gpu.sizes import Sizes


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
