"""What DistributedDataParallel does with gradients on their way: hooks of torch, by Lightning's argument names."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch.nn.parallel import DistributedDataParallel

from trainer.errors import MisconfigurationException, WrongTypeError, four_parts

CommHook: TypeAlias = Callable[[Any, Any], Any]
"""(state, bucket) -> a future of the bucket's averaged gradients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Communication:
    """A communication hook of torch with its state and what is put around it.

    Attributes:
        hook: such as `fp16_compress_hook` or `powerSGD_hook`; None averages exactly.
        state: what the hook gets as its state: None, a process group or a PowerSGDState.
        wrapper: such as `fp16_compress_wrapper`.
    """

    hook: CommHook | None = None
    state: object = None
    wrapper: Callable[[CommHook], CommHook] | None = None

    def check(self, model_averaging_period: int | None) -> None:
        """Refuse values that cannot be, on any device.

        Raises:
            WrongTypeError: hook or wrapper cannot be called.
            MisconfigurationException: there is no hook for them, or weights would be averaged instead of gradients.
        """
        for name, value in (("ddp_comm_hook", self.hook), ("ddp_comm_wrapper", self.wrapper)):
            if value is not None and not callable(value):
                raise WrongTypeError(
                    four_parts(f"`{name}` cannot be called.", got=value, expected="a function of torch's "
                               "ddp_comm_hooks, or one like it", remedy="Pass the function itself.")
                )  # fmt: skip
        averages = type(self.state).__name__ == "PostLocalSGDState"
        if model_averaging_period is not None or averages:
            raise MisconfigurationException(
                four_parts(
                    "Averaging weights every few steps is not in this version: its losses are not those of one "
                    "process with the whole batch.",
                    got=f"model_averaging_period={model_averaging_period!r}" if not averages else self.state,
                    expected="neither `model_averaging_period` nor a PostLocalSGDState",
                    remedy="To send less, pass ddp_comm_hook=fp16_compress_hook or powerSGD_hook, or accumulate "
                    "gradients with Trainer(accumulate_grad_batches=...).",
                )
            )
        if self.hook is None and (self.state is not None or self.wrapper is not None):
            raise MisconfigurationException(
                four_parts("There is no communication hook to use them with.",
                           got=f"ddp_comm_state={self.state!r}, ddp_comm_wrapper={self.wrapper!r}",
                           expected="a `ddp_comm_hook` with them", remedy="Pass it, or leave them out.")
            )  # fmt: skip

    def check_device(self, kind: str) -> None:
        """Refuse what devices of `kind` cannot run.

        Raises:
            MisconfigurationException: bfloat16 gradients are exchanged by NCCL only.
        """
        names = [getattr(part, "__name__", "") for part in (self.hook, self.wrapper)]
        if kind != "cuda" and any(name.startswith("bf16_compress") for name in names):
            raise MisconfigurationException(
                four_parts("Gradients are compressed to bfloat16 on CUDA devices with NCCL only.",
                           got=f"{[name for name in names if name][-1]} on {kind!r} devices",
                           expected="`accelerator='cuda'`, or another hook",
                           remedy="Pass fp16_compress_hook, which runs everywhere.")
            )  # fmt: skip

    def register(self, wrapped: DistributedDataParallel) -> None:
        """Let the hook exchange the gradients of `wrapped`; a PowerSGDState begins anew."""
        if self.hook is None:
            return
        forget_errors(self.state)
        hook = self.hook if self.wrapper is None else self.wrapper(self.hook)
        wrapped.register_comm_hook(self.state, hook)

    def warn_of_manual(self) -> None:
        """Say that manual optimisation averages exactly."""
        if self.hook is not None:
            warnings.warn(
                "The communication hook is not used under manual optimisation: gradients are averaged as they are.",
                RuntimeWarning,
                stacklevel=2,
            )


def forget_errors(state: object) -> None:
    """Let a PowerSGDState begin anew.

    What it holds (the error of each bucket, and the last projections) belongs to buckets of one wrapped model.
    DistributedDataParallel makes the buckets anew in its second pass, so what an earlier fit left would be added to
    other parameters' gradients.
    """
    module = sys.modules.get("torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook")
    if module is None or not isinstance(state, module.PowerSGDState):
        return
    for held in (state.error_dict, state.p_memory_dict, state.q_memory_dict):
        held.clear()
    state.iter = 0
