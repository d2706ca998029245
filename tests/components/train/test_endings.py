"""How a training process ended: the signal, its likely cause, and what running again does."""

import signal

import pytest

from components.errors import DeviceMissingError
from components.train.config import TrainConfig
from components.train.devices import check_devices
from components.train.endings import ending


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            -signal.SIGKILL,
            "was killed by SIGKILL and left no result. The likely cause is that the machine ran out of mem",
        ),
        (128 + signal.SIGKILL, "was killed by SIGKILL"),
        (-signal.SIGTERM, "was killed by SIGTERM and left no result. Somebody or the system asked it to stop"),
        (-signal.SIGSEGV, "was killed by SIGSEGV and left no result. This is a fault in native code"),
        (-signal.SIGUSR1, "was killed by SIGUSR1 and left no result. Run the same command again"),
        (1, "ended with exit code 1 and left no result. Run the same command again"),
        (0, "ended with exit code 0"),
        (255, "ended with exit code 255"),
    ],
)
def test_an_ending_says_its_signal_and_what_to_do(code: int, said: str) -> None:
    assert ending(code).startswith(said)
    assert "it goes on from the last checkpoint" in ending(code)


@pytest.mark.parametrize(
    ("available", "count", "cuda", "devices", "said"),
    [
        (False, 0, None, 1, "is built for CPUs only"),
        (False, 0, "12.8", 1, "torch sees none; look at `nvidia-smi` and CUDA_VISIBLE_DEVICES"),
        (True, 1, "12.8", 2, "asks for 2 GPU(s), and torch sees 1; name as many"),
        (True, 2, "12.8", 2, None),
    ],
)
def test_gpus_that_are_not_there_are_told_before_a_process_starts(
    available: bool, count: int, cuda: str | None, devices: int, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    config = TrainConfig(accelerator="cuda", devices=devices)
    if said is None:
        check_devices(config)
        return
    with pytest.raises(DeviceMissingError) as caught:
        check_devices(config)
    assert said in str(caught.value)
    assert "--set train.accelerator=auto" in str(caught.value)


def test_a_training_on_the_cpu_asks_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_devices(TrainConfig(accelerator="cpu", devices=4))
    check_devices(TrainConfig(accelerator="auto"))
