"""Devices from the trainer's arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import trainer as L
from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.accelerators import (
    Accelerator,
    AcceleratorRegistry,
    CPUAccelerator,
    CUDAAccelerator,
    MPSAccelerator,
    choose_devices,
    find_usable_cuda_devices,
)
from trainer.errors import MisconfigurationException
from trainer.strategies import SingleDevice, StrategyRegistry


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


class OwnAccelerator(Accelerator):
    """Three places on the CPU."""

    def __init__(self, note: str = "") -> None:
        self.note = note
        self.calls: list[str] = []

    def setup_device(self, device: torch.device) -> None:
        self.calls.append(f"setup_device {device}")

    def setup(self, trainer: L.Trainer) -> None:
        self.calls.append(f"setup {trainer.state.fn}")

    def teardown(self) -> None:
        self.calls.append("teardown")

    @staticmethod
    def parse_devices(devices: Any) -> Any:
        return devices

    @staticmethod
    def get_parallel_devices(devices: Any) -> Any:
        return [torch.device("cpu")] * devices

    @staticmethod
    def auto_device_count() -> int:
        return 3

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "own"

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {"heat": 36.0}


def test_an_accelerator_of_ones_own_is_asked_and_told(tmp_path: Path) -> None:
    own = OwnAccelerator()
    assert make_trainer(tmp_path, accelerator=own, devices="auto", strategy="ddp").num_devices == 3
    rows: list[dict[str, float]] = []

    class Rows(L.loggers.Logger):
        name = version = "rows"

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            rows.append(dict(metrics))

        def log_hyperparams(self, params: Any) -> None:
            pass

    trainer = make_trainer(
        tmp_path, accelerator=own, devices=1, max_epochs=1, logger=Rows(), log_every_n_steps=1,
        callbacks=L.callbacks.DeviceStatsMonitor(cpu_stats=None),
    )  # fmt: skip
    assert trainer.accelerator is own
    trainer.fit(Regression(), regression_loader())
    assert own.calls == ["setup_device cpu", "setup fit", "teardown"]
    assert any(row.get("DeviceStatsMonitor.on_train_batch_end/heat") == 36.0 for row in rows)
    assert L.Fabric(accelerator=own, devices=1).accelerator is own


def test_accelerators_are_registered_under_names(tmp_path: Path) -> None:
    assert {"cpu", "cuda", "mps"} <= AcceleratorRegistry.available_accelerators()
    assert isinstance(AcceleratorRegistry.get("cpu"), CPUAccelerator)
    AcceleratorRegistry.register("mine", OwnAccelerator, description="three places", note="hello")
    try:
        chosen = make_trainer(tmp_path, accelerator="mine", devices=1).accelerator
        assert isinstance(chosen, OwnAccelerator)
        assert chosen.note == "hello"
        with pytest.raises(MisconfigurationException, match="registered already"):
            AcceleratorRegistry.register("mine", OwnAccelerator)
        AcceleratorRegistry.register("mine", override=True)(OwnAccelerator)
        assert AcceleratorRegistry["mine"]["init_params"] == {}
    finally:
        AcceleratorRegistry.remove("mine")
    with pytest.raises(MisconfigurationException, match="Got 'mine'"):
        make_trainer(tmp_path, accelerator="mine")
    with pytest.raises(KeyError, match="'mine'; there are cpu, cuda, mps"):
        AcceleratorRegistry.get("mine")
    with pytest.raises(TypeError, match="`name` must be a str"):
        AcceleratorRegistry.register(3, OwnAccelerator)  # type: ignore[arg-type]  # that is what is refused


def test_strategies_are_registered_under_names(tmp_path: Path) -> None:
    class Own(SingleDevice):
        def __init__(self, speed: int) -> None:
            self.speed = speed

    StrategyRegistry.register("quick", Own, description="quick", speed=3)
    try:
        strategy = make_trainer(tmp_path, strategy="quick").strategy
        assert isinstance(strategy, Own)
        assert strategy.speed == 3
        with pytest.raises(ValueError, match="'quick' is registered already"):
            StrategyRegistry.register("quick", Own)
    finally:
        StrategyRegistry.remove("quick")
    assert "ddp_spawn_find_unused_parameters_true" in StrategyRegistry.available_strategies()
    with pytest.raises(MisconfigurationException, match="Got 'quick'"):
        make_trainer(tmp_path, strategy="quick")


def test_the_accelerators_of_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    assert isinstance(trainer.accelerator, CPUAccelerator)
    assert (CPUAccelerator.name(), CPUAccelerator.is_available(), CPUAccelerator.auto_device_count()) == (
        "cpu",
        True,
        1,
    )
    assert CPUAccelerator.parse_devices("2") == 2
    assert CPUAccelerator.get_parallel_devices(2) == [torch.device("cpu")] * 2
    assert set(CPUAccelerator().get_device_stats("cpu")) == {"cpu_percent", "cpu_vm_percent", "cpu_swap_percent"}
    with pytest.raises(MisconfigurationException, match=r"device of another kind\. Got 'meta'"):
        CPUAccelerator().setup_device(torch.device("meta"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert CUDAAccelerator.parse_devices("0,2") == [0, 2]
    assert CUDAAccelerator.get_parallel_devices([0, 2]) == [torch.device("cuda", 0), torch.device("cuda", 2)]
    assert CUDAAccelerator.auto_device_count() == 3
    assert MPSAccelerator.get_parallel_devices([0]) == [torch.device("mps", 0)]


def test_mps_is_there_where_torch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(MisconfigurationException, match="torch sees none"):
        choose_devices("mps", 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name in ("mps", "gpu", "auto"):
        assert choose_devices(name, "auto").device(0) == torch.device("mps", 0)
    with pytest.raises(MisconfigurationException, match="indices below 1"):
        choose_devices("mps", 2)


def test_usable_gpus_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_usable_cuda_devices(0) == []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match="sees 0"):
        find_usable_cuda_devices()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)

    def tensor(value: int, device: torch.device) -> None:
        if device.index == 1:
            raise RuntimeError("busy")

    monkeypatch.setattr(torch, "tensor", tensor)
    assert find_usable_cuda_devices() == [0, 2]
    assert find_usable_cuda_devices(1) == [0]
    with pytest.raises(ValueError, match="asked for 4"):
        find_usable_cuda_devices(4)
    with pytest.raises(RuntimeError, match=r"Got \[0, 2\]; the devices \[1\] are held"):
        find_usable_cuda_devices(3)
