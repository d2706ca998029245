"""What holds around a whole run: torch's switches, and SIGTERM as a flag."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

import torch

from trainer.loops.state import StopFlags

if TYPE_CHECKING:
    from trainer.trainer import Trainer


@contextlib.contextmanager
def sigterm_is_noted(trainer: Trainer) -> Iterator[None]:
    """Note SIGTERM inside the block, so that the batch is finished first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)

    def note(number: int, frame: FrameType | None) -> None:
        trainer.flags.raise_flag(StopFlags.SIGTERM)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
        trainer.flags.lower_flag(StopFlags.SIGTERM)


@contextlib.contextmanager
def torch_settings(trainer: Trainer) -> Iterator[None]:
    """Apply `deterministic` and `benchmark` inside the block."""
    options = trainer.reproducibility
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with it
        torch.use_deterministic_algorithms(True, warn_only=options.deterministic == "warn")
    if options.benchmark is not None or options.deterministic:
        torch.backends.cudnn.benchmark = bool(options.benchmark) and not options.deterministic
    try:
        yield
    finally:
        if options.deterministic:  # setting it back where nobody set it would import torch's compiler
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = before[2]
