"""Data on their way to the device, and a fit that they are fed to."""

from __future__ import annotations

import contextlib
import itertools
import queue
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu.device import between, device, is_cuda, mark, synchronise
from benchmarks.gpu.sizes import Batch
from benchmarks.gpu.stand_ins import L


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
