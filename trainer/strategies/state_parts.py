"""Parts of a state that other processes hold, brought to rank zero as bytes in pieces."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from trainer.checkpoints.files import find_unplain
from trainer.errors import CheckpointError, four_parts
from trainer.types import PlainState

if TYPE_CHECKING:
    from trainer.strategies.strategy import Strategy

_PIECE = 256 << 20  # bytes of one message


def gather_parts(
    part: PlainState, senders: Sequence[int], strategy: Strategy, group: dist.ProcessGroup | None
) -> list[PlainState]:
    """Return the parts of the ranks `senders` on rank zero, in their order and on the CPU, nothing on the others.

    They travel one after the other through `group`, on the CPU; all processes of the strategy take part. What could not
    be read back is found before anything is sent, so that no process waits for one that failed.

    Raises:
        CheckpointError: on every process, where a part holds something that is not plain, on any of them.
    """
    rank = strategy.environment.rank
    _check_plain(part, strategy)
    if rank in senders:
        _send(part, group)
    if rank:
        return []
    return [_receive(sender, group) for sender in senders]


def _check_plain(part: PlainState, strategy: Strategy) -> None:
    problem = find_unplain(part, "state") or ""
    if not any(strategy.agree([bool(problem)])):
        return
    texts = [payload.decode() for payload in strategy.gather_bytes(problem.encode())]
    raise CheckpointError(
        four_parts(
            "A part of the state on some processes could not be read back from a checkpoint.",
            got="; ".join(f"{text} on rank {rank}" for rank, text in enumerate(texts) if text),
            expected="numbers, text, lists, dicts and tensors",
            remedy="Keep other objects out of the optimizer's state; float(x) turns a NumPy number into a plain one.",
        )
    )


def _send(part: PlainState, group: dist.ProcessGroup | None) -> None:
    buffer = io.BytesIO()
    torch.save(part, buffer)
    data = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
    dist.send(torch.tensor([len(data)]), dst=0, group=group)
    for piece in torch.split(data, _PIECE):
        dist.send(piece, dst=0, group=group)


def _receive(rank: int, group: dist.ProcessGroup | None) -> Any:
    length = torch.zeros(1, dtype=torch.int64)
    dist.recv(length, src=rank, group=group)
    data = torch.empty(int(length), dtype=torch.uint8)
    for piece in torch.split(data, _PIECE):
        dist.recv(piece, src=rank, group=group)
    return torch.load(io.BytesIO(data.numpy().tobytes()), map_location="cpu", weights_only=True)
