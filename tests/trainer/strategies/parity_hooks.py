"""Configurations of the parity tests: split optimizers, communication hooks and arguments of DistributedDataParallel.

Those named in `LOSSY` send less than the gradients, or compute in bfloat16: they come close to one process, no nearer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook

from trainer.strategies import DDPStrategy
from trainer.strategies.strategy import Strategy

LOSSY_TOLERANCE = 5e-3


def zero() -> Strategy:
    return DDPStrategy(zero_stage=1)


def fp16() -> Strategy:
    return DDPStrategy(ddp_comm_hook=default_hooks.fp16_compress_hook)


def _state() -> powerSGD_hook.PowerSGDState:
    # These matrices are so small that they are only compressed where any saving will do.
    return powerSGD_hook.PowerSGDState(
        None, matrix_approximation_rank=4, start_powerSGD_iter=2, min_compression_rate=1
    )  # fmt: skip


def power_sgd() -> Strategy:
    return DDPStrategy(ddp_comm_state=_state(), ddp_comm_hook=powerSGD_hook.powerSGD_hook)


def power_sgd_fp16() -> Strategy:
    return DDPStrategy(
        ddp_comm_state=_state(),
        ddp_comm_hook=powerSGD_hook.powerSGD_hook,
        ddp_comm_wrapper=default_hooks.fp16_compress_wrapper,
    )


EXACT: dict[str, dict[str, Any]] = {
    "zero/blocks": {"strategy": zero},
    "zero/tied": {"strategy": zero, "net": "tied", "optimizer": "sgd"},
    "zero/recurrent": {"strategy": zero, "net": "recurrent"},
    "zero/groups": {"strategy": zero, "optimizer": "groups"},
    "zero/schedule": {"strategy": zero, "net": "recurrent", "optimizer": "sgd"},
    "zero/clip": {"strategy": zero, "optimizer": "sgd", "options": {"gradient_clip_val": 0.1}},
    "zero/accumulate": {"strategy": zero, "optimizer": "groups", "options": {"accumulate_grad_batches": 3}},
    "zero/ema": {"strategy": zero, "ema": True},
    "ddp-static/blocks": {"strategy": lambda: DDPStrategy(static_graph=True)},
    "ddp-static/accumulate": {
        "strategy": lambda: DDPStrategy(static_graph=True),
        "options": {"accumulate_grad_batches": 3},
    },
    "ddp-buckets/blocks": {"strategy": lambda: DDPStrategy(bucket_cap_mb=1e-3, gradient_as_bucket_view=False)},
    "ddp-unused/tied": {
        "strategy": lambda: DDPStrategy(find_unused_parameters=True, gradient_as_bucket_view=False, bucket_cap_mb=100),
        "net": "tied",
        "optimizer": "groups",
    },
    "ddp-wrapped/blocks": {"strategy": lambda: DDPStrategy(ddp_comm_hook=default_hooks.allreduce_hook)},
}
LOSSY: dict[str, dict[str, Any]] = {
    "fp16/blocks": {"strategy": fp16},
    "fp16/recurrent": {"strategy": fp16, "net": "recurrent", "optimizer": "sgd"},
    "fp16-zero/blocks": {
        "strategy": lambda: DDPStrategy(zero_stage=1, ddp_comm_hook=default_hooks.fp16_compress_hook),
        "optimizer": "groups",
    },
    "powersgd/blocks": {"strategy": power_sgd, "optimizer": "sgd"},
    "powersgd-fp16/blocks": {"strategy": power_sgd_fp16, "optimizer": "sgd"},
    "ddp-bf16/blocks": {"strategy": DDPStrategy, "options": {"precision": "bf16-mixed"}},
    "zero-bf16/recurrent": {"strategy": zero, "net": "recurrent", "options": {"precision": "bf16-mixed"}},
}


def configurations(make: Callable[..., Any]) -> dict[str, Any]:
    """Return the configurations, each made by `make`, the suite's own class."""
    exact = {name: make(**options) for name, options in EXACT.items()}
    return exact | {name: make(**options, tolerance=LOSSY_TOLERANCE) for name, options in LOSSY.items()}
