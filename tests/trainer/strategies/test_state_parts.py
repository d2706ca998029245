"""Parts of states that travel to rank zero: in pieces, on the CPU, and only where all can be read back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist

from trainer.errors import CheckpointError
from trainer.strategies import state_parts

PART: Any = {0: {"exp_avg": torch.arange(300.0), "step": torch.tensor(3.0)}, 7: {"lr": 0.5, "names": ["a", "b"]}}


class Processes:
    """A strategy on one of two processes; the other one says whether its part is bad."""

    def __init__(self, rank: int, other: str = "") -> None:
        self.environment = SimpleNamespace(rank=rank)
        self.other = other

    def agree(self, values: Sequence[int]) -> list[int]:
        return [max(value, bool(self.other)) for value in values]

    def gather_bytes(self, payload: bytes) -> list[bytes]:
        texts = [payload, self.other.encode()]
        return texts if self.environment.rank == 0 else texts[::-1]


def test_a_part_travels_in_pieces_and_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    line: deque[torch.Tensor] = deque()

    def send(tensor: torch.Tensor, dst: int, group: object) -> None:
        line.append(tensor.clone())

    def receive(tensor: torch.Tensor, src: int, group: object) -> None:
        tensor.copy_(line.popleft())

    monkeypatch.setattr(dist, "send", send)
    monkeypatch.setattr(dist, "recv", receive)
    monkeypatch.setattr(state_parts, "_PIECE", 1000)
    giver: Any = Processes(1)
    assert state_parts.gather_parts(PART, [1], giver, None) == []
    length, *pieces = line
    assert [len(piece) for piece in pieces[:-1]] == [1000] * (int(length) // 1000)
    assert len(pieces[-1]) == int(length) % 1000
    taker: Any = Processes(0)
    found: Any
    [found] = state_parts.gather_parts({}, [1], taker, None)
    assert not line
    assert torch.equal(found[0]["exp_avg"], torch.arange(300.0))
    assert found[0]["step"] == 3
    assert found[7] == {"lr": 0.5, "names": ["a", "b"]}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("is_own", [True, False])
def test_nothing_is_sent_where_a_part_on_any_process_is_bad(rank: int, is_own: bool) -> None:
    """Without a process group, whatever is sent or waited for is an error of torch's."""
    strategy: Any = Processes(rank, "" if is_own else "state[2]['note']: builtins.object")
    part: Any = {2: {"note": object()}} if is_own else PART
    where = rank if is_own else 1 - rank
    with pytest.raises(CheckpointError, match=rf"state\[2\]\['note'\]: builtins.object on rank {where}.; expected"):
        state_parts.gather_parts(part, [1], strategy, None)
