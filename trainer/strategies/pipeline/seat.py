"""Where a process stands in a pipeline, and how it reaches the others of its pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.seed import capture_rng, restore_rng
from trainer.strategies.pipeline.skeletons import filled, slots_of, taken_apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """This process among `length` processes of one pipeline and `copies` pipelines.

    Ranks count through the copies first: the processes of one position stand side by side.

    Attributes:
        position: of this process in its pipeline.
        length: processes of a pipeline.
        copy: which pipeline.
        copies: pipelines.
        per_process: stages of each process; stage s is on position s % length.
        device: where this process computes.
        line: the group of this pipeline.
        peers: the group of the processes with this position.
        control: the group of this pipeline on the CPU.
    """

    position: int
    length: int
    copy: int
    copies: int
    per_process: int
    device: torch.device
    line: Any  # torch's ProcessGroup, here and below
    peers: Any
    control: Any

    @property
    def stages(self) -> int:
        """Return the number of stages."""
        return self.length * self.per_process

    @property
    def own_stages(self) -> range:
        """Return the stages of this process."""
        return range(self.position, self.stages, self.length)

    @property
    def is_first(self) -> bool:
        """Return whether the first stage is here."""
        return self.position == 0

    @property
    def is_last(self) -> bool:
        """Return whether the last stage is here."""
        return self.position == self.length - 1

    def rank(self, position: int) -> int:
        """Return the rank of a process of this pipeline."""
        return position * self.copies + self.copy

    def tell(self, value: Any, position: int) -> Any:
        """Return, on every process of the pipeline, the value that the process at `position` gave."""
        found = [value]
        if self.length > 1:
            dist.broadcast_object_list(found, src=self.rank(position), group=self.control)
        return found[0]

    def tell_tensors(self, value: Any, position: int) -> Any:
        """Return, on every process of the pipeline, tensors in any structure that the one at `position` gave."""
        if self.length == 1:
            return value
        sends = self.position == position
        tensors, skeleton = taken_apart(value) if sends else ((), None)
        skeleton = self.tell(skeleton, position)
        if sends:
            given = [tensor.detach().contiguous() for tensor in tensors]
        else:
            given = [slot.zeros(self.device) for slot in slots_of(skeleton)]
        for tensor in given:
            dist.broadcast(tensor, src=self.rank(position), group=self.line)
        return filled(skeleton, given)

    def equal_generators(self) -> None:
        """Bring the global generators of the pipeline's processes to the state of the first one's."""
        state = self.tell(capture_rng() if self.is_first else None, 0)
        if not self.is_first:
            restore_rng(state)

    def average(self, tensors: list[Tensor]) -> None:
        """Average tensors over the copies, in place and together."""
        if self.copies == 1 or not tensors:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat, group=self.peers)
            flat /= self.copies
            for tensor, part in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))


_BUCKET_BYTES = 64 << 20


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield tensors of one dtype in runs of some size."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        bucket: list[Tensor] = []
        held = 0
        for tensor in tensors:
            if tensor.dtype != dtype:
                continue
            bucket.append(tensor)
            held += tensor.numel() * tensor.element_size()
            if held >= _BUCKET_BYTES:
                yield bucket
                bucket, held = [], 0
        if bucket:
            yield bucket


class Draws:
    """Random draws inside a step: apart from those around it, and the same wherever they have to be the same.

    Each process of a pipeline has its global generator in the same state between two steps, as the data may depend on
    it. Inside, layers draw differently on each; the step of the user's module, which begins on the first stage and is
    run on the last one, draws the same numbers on both. All follows from that state, so that a resume repeats it.
    """

    def __init__(self, seat: Seat, *step: int) -> None:
        self._seat = seat
        state = hashlib.blake2b(torch.get_rng_state().numpy().tobytes(), digest_size=16).digest()
        self._key = state + repr((*step, seat.copy)).encode()[:48]

    def _seed(self, *what: object) -> None:
        digest = hashlib.blake2b(repr(what).encode(), key=self._key, digest_size=8).digest()
        seed = int.from_bytes(digest, "little") >> 1
        torch.default_generator.manual_seed(seed)
        if self._seat.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    @contextmanager
    def of_layers(self) -> Iterator[None]:
        """Let this process draw for itself inside the block."""
        with self._apart():
            self._seed("layers", self._seat.position)
            yield

    @contextmanager
    def of_step(self, microbatch: int) -> Iterator[None]:
        """Draw what every process of the pipeline draws for this microbatch, inside the block."""
        with self._apart():
            self._seed("step", microbatch)
            yield

    @contextmanager
    def _apart(self) -> Iterator[None]:
        with generators_kept(self._seat.device):
            yield


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Leave torch's generators as they were before the block."""
    state = torch.get_rng_state()
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)
