"""One file from a folder: weights for other programs, or an ordinary checkpoint."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

import trainer as L
from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_loader
from trainer.checkpoints import consolidate, load_checkpoint
from trainer.checkpoints.__main__ import main
from trainer.checkpoints.sharded.exchange import Exchange
from trainer.checkpoints.sharded.reading import Folder
from trainer.checkpoints.sharded.tensors import take_apart
from trainer.checkpoints.sharded.writing import Contents, write_folder
from trainer.errors import CheckpointError, MisconfigurationException
from trainer.fabric.__main__ import main as fabric
from trainer.strategies import FSDPStrategy


@pytest.fixture
def trained(tmp_path: Path) -> tuple[L.Trainer, Regression, Path]:
    """Return a trainer, its model, and the folder that it saved."""
    model = Regression(dropout=0.25)
    trainer = make_trainer(tmp_path, strategy=FSDPStrategy(state_dict_type="sharded"), max_steps=3)
    trainer.fit(model, regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    return trainer, model, tmp_path / "a.ckpt"


def whole(model: Regression) -> dict[str, torch.Tensor]:
    return {
        name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in model.state_dict().items()
    }


def test_weights_for_other_programs(trained: tuple[L.Trainer, Regression, Path], tmp_path: Path) -> None:
    _, model, folder = trained
    found = consolidate(folder, tmp_path / "model.safetensors")
    assert_equal_weights(load_file(tmp_path / "model.safetensors"), whole(model))
    assert found == {"tensors": 4, "bytes": (tmp_path / "model.safetensors").stat().st_size}
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "step": "3"}


def test_every_kind_of_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    kinds += [torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]
    chance = random.Random(1)
    weights: dict[str, Any] = {
        f"{chance.random()}-{kind}": torch.arange(15).reshape(3, 5).to(kind).t() for kind in kinds
    }
    weights |= {"a scalar": torch.tensor(2.5), "nothing": torch.empty(0, 3), "\u00e9": torch.ones(1)}
    plain, tensors = take_apart({"state_dict": weights, "global_step": 1}, {}, [])
    write_folder(tmp_path / "a.ckpt", Contents(plain=plain, tensors=tensors, strategy=""), Exchange())
    read, at_once = Folder.read, []

    def counted(self: Folder, targets: Any) -> None:
        at_once.append(len(targets))
        read(self, targets)

    monkeypatch.setattr(Folder, "read", counted)
    consolidate(tmp_path / "a.ckpt", tmp_path / "b.safetensors")
    assert max(at_once) == 1  # one tensor in memory at a time
    found = load_file(tmp_path / "b.safetensors")
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name].to(torch.float64), value.to(torch.float64)), name
    data = (tmp_path / "b.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    for name, value in weights.items():  # as the library lays them out: each at a multiple of its size
        assert (header[name]["data_offsets"][0]) % value.element_size() == 0

    weights = {"complex": torch.ones(2, dtype=torch.complex64)}
    plain, tensors = take_apart({"state_dict": weights, "global_step": 1}, {}, [])
    write_folder(tmp_path / "c.ckpt", Contents(plain=plain, tensors=tensors, strategy=""), Exchange())
    with pytest.raises(CheckpointError, match=r"cannot hold tensors of torch.complex64. Pass format='ckpt'"):
        consolidate(tmp_path / "c.ckpt", tmp_path / "c.safetensors")
    assert not (tmp_path / "c.safetensors").exists()


def test_an_ordinary_checkpoint_goes_on(trained: tuple[L.Trainer, Regression, Path], tmp_path: Path) -> None:
    _, model, folder = trained
    consolidate(folder, tmp_path / "one.ckpt", "ckpt")
    read = torch.load(tmp_path / "one.ckpt", weights_only=True)
    assert_equal_weights(read["state_dict"], whole(model))
    assert_equal_weights(whole(Regression.load_from_checkpoint(tmp_path / "one.ckpt")), whole(model))
    ends = []
    for start in (folder, tmp_path / "one.ckpt"):
        again = Regression(dropout=0.25)
        make_trainer(tmp_path, max_steps=5).fit(again, regression_loader(), ckpt_path=start)
        ends.append(again)
    assert_equal_weights(*ends)


def test_what_cannot_be_consolidated_is_refused(trained: tuple[L.Trainer, Regression, Path], tmp_path: Path) -> None:
    _, _, folder = trained
    with pytest.raises(MisconfigurationException, match=r"`format` is unknown. Got 'onnx'"):
        consolidate(folder, tmp_path / "x", "onnx")  # type: ignore[arg-type]  # that is the test
    for target in (folder / "x", folder):
        with pytest.raises(MisconfigurationException, match="The file would be in the folder"):
            consolidate(folder, target)
    consolidate(folder, tmp_path / "one.ckpt", "ckpt")
    with pytest.raises(CheckpointError, match=r"one\.ckpt is a file"):
        consolidate(tmp_path / "one.ckpt", tmp_path / "x")
    with pytest.raises(CheckpointError, match="none is not there"):
        consolidate(tmp_path / "none", tmp_path / "x")
    (folder / "meta.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        consolidate(folder, tmp_path / "x")
    assert sorted(os.listdir(tmp_path)) == ["a.ckpt", "one.ckpt"]


def test_the_commands(trained: tuple[L.Trainer, Regression, Path], tmp_path: Path) -> None:
    _, model, folder = trained
    done = CliRunner().invoke(main, ["consolidate", str(folder), str(tmp_path / "m.safetensors")])
    size = (tmp_path / "m.safetensors").stat().st_size
    assert (done.exit_code, done.output) == (0, f"{tmp_path}/m.safetensors: 4 tensors of weights, {size} bytes\n")
    done = CliRunner().invoke(main, ["consolidate", str(folder), str(tmp_path / "m.ckpt"), "--format", "ckpt"])
    assert done.exit_code == 0
    assert load_checkpoint(tmp_path / "m.ckpt")["global_step"] == 3
    done = CliRunner().invoke(main, ["consolidate", str(tmp_path / "none"), str(tmp_path / "x")])
    assert done.exit_code == 1
    assert done.output.startswith("Error: Only checkpoint folders are consolidated.")
    done = CliRunner().invoke(fabric, ["consolidate", str(folder)])  # as Lightning's command line has it
    assert done.exit_code == 0
    assert_equal_weights(torch.load(f"{folder}.consolidated", weights_only=True)["state_dict"], whole(model))
    done = CliRunner().invoke(fabric, ["consolidate", str(tmp_path / "none")])
    assert done.exit_code == 1


def test_to_a_bucket(trained: tuple[L.Trainer, Regression, Path]) -> None:
    _, _, folder = trained
    consolidate(folder, "memory://bucket/m.safetensors")
    with fsspec.open("memory://bucket/m.safetensors", "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        assert json.loads(file.read(length))["__metadata__"]["step"] == "3"
    fsspec.filesystem("memory").store.clear()
