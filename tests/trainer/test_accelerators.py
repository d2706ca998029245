"""Devices from the trainer's arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainer.accelerators import choose_devices
from trainer.errors import MisconfigurationException


@pytest.mark.parametrize(
    ("devices", "expected"), [("auto", (0,)), (1, (0,)), (3, (0, 1, 2)), (-1, (0,)), ("2", (0, 1)), ("0,1", (0, 1))]
)
def test_devices_of_a_cpu_are_processes(devices: Any, expected: tuple[int, ...]) -> None:
    chosen = choose_devices("cpu", devices)
    assert (chosen.kind, chosen.indices, chosen.count) == ("cpu", expected, len(expected))
    assert chosen.device(0) == torch.device("cpu")


def test_auto_follows_whoever_started_the_processes() -> None:
    assert choose_devices("cpu", "auto", auto_count=4).count == 4


def test_gpus_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert choose_devices("auto", "auto").indices == (0, 1, 2, 3)
    assert choose_devices("gpu", [1, 3]).device(1) == torch.device("cuda", 3)
    assert choose_devices("cuda", -1).count == 4
    with pytest.raises(MisconfigurationException, match=r"Got \[4\]; expected indices below 4"):
        choose_devices("cuda", [4])


def test_an_absent_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_devices("auto", 1).kind == "cpu"
    with pytest.raises(MisconfigurationException, match="torch sees none"):
        choose_devices("gpu", 1)
