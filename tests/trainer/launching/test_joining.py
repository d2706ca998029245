"""The moment at which processes meet: what keeps them from it is told."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

import trainer as L
from trainer.errors import DistributedError, MisconfigurationException
from trainer.launching.environments import Environment
from trainer.launching.joining import joining, usual_timeout
from trainer.strategies import DDPStrategy
from trainer.strategies.roll_call import operation_of

TWO = Environment(rank=0, world_size=2, created_externally=True)
SECOND = timedelta(seconds=1)


def test_five_minutes_unless_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DDPStrategy().timeout == timedelta(minutes=5)
    monkeypatch.setenv("TRAINER_TIMEOUT_S", "20")
    assert DDPStrategy().timeout == timedelta(seconds=20)
    assert DDPStrategy(timeout=SECOND).timeout == SECOND


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_time_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_TIMEOUT_S", text)
    with pytest.raises(MisconfigurationException, match="TRAINER_TIMEOUT_S is no time to wait"):
        usual_timeout()


def test_a_port_that_is_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        with (
            pytest.raises(DistributedError, match=rf"port .* is taken\. Got '127\.0\.0\.1:{port}'"),
            joining(TWO, SECOND),
        ):
            TCPStore("127.0.0.1", port, 2, is_master=True, timeout=SECOND)


def test_a_process_that_is_missing_is_told() -> None:
    with (
        pytest.raises(DistributedError, match=r"did not all meet at .* within 1 s\. Got rank 0 of 2 here(?s:.)*1/2"),
        joining(TWO, SECOND),
    ):
        TCPStore("127.0.0.1", 0, 2, is_master=True, timeout=SECOND)


def test_a_gpu_on_an_installation_without_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for accelerator in ("cuda", "gpu"):
        with pytest.raises(MisconfigurationException):
            L.Trainer(accelerator=accelerator, devices=2, strategy="ddp")


def test_the_operation_is_read_from_the_traceback() -> None:
    with pytest.raises(TypeError) as caught:
        dist.all_reduce("no tensor")
    assert operation_of(caught.value) == "all_reduce"
    assert operation_of(RuntimeError()) == "an exchange"
