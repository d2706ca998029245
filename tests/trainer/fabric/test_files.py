"""What Fabric saves and loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trainer as L
from trainer.errors import CheckpointError, MisconfigurationException


def trained(seed: int) -> tuple[L.Fabric, Any, Any]:
    torch.manual_seed(seed)
    own = L.Fabric(accelerator="cpu", devices=1)
    model = nn.Linear(3, 1)
    model, optimizer = own.setup(model, torch.optim.Adam(model.parameters()))
    own.backward(model(torch.ones(2, 3)).sum())
    optimizer.step()
    return own, model, optimizer


def test_what_was_saved_comes_back_in_place(tmp_path: Path) -> None:
    own, model, optimizer = trained(1)
    path = tmp_path / "deep" / "state.ckpt"
    own.save(path, {"model": model, "optimizer": optimizer, "epoch": 3, "extra": [1, "a"]})
    _, other, other_optimizer = trained(2)
    state: dict[str, Any] = {"model": other, "optimizer": other_optimizer, "epoch": 0}
    assert own.load(path, state) == {"extra": [1, "a"]}
    assert (state["epoch"], state["model"], state["optimizer"]) == (3, other, other_optimizer)
    assert torch.equal(other.weight, model.weight)
    moments = other_optimizer.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(moments, optimizer.state_dict()["state"][0]["exp_avg"])
    whole = own.load(path)
    assert sorted(whole) == ["epoch", "extra", "model", "optimizer"]
    plain = nn.Linear(3, 1)
    plain.load_state_dict(torch.load(path, weights_only=True)["model"])
    assert torch.equal(plain.weight, model.module.weight)


def test_filters_choose_entries(tmp_path: Path) -> None:
    own, model, _ = trained(1)
    path = tmp_path / "state.ckpt"
    own.save(path, {"model": model, "epoch": 1}, filter={"model": lambda name, value: "bias" not in name})
    assert list(own.load(path)["model"]) == ["weight"]
    with pytest.raises(TypeError, match="Filter should be a dictionary, given 3"):
        own.save(path, {"model": model}, filter=3)  # type: ignore[arg-type]  # that is what is refused
    with pytest.raises(ValueError, match=r"filter keys \['other'\] are not present in the state keys \['model'\]"):
        own.save(path, {"model": model}, filter={"other": lambda name, value: True})
    with pytest.raises(TypeError, match="'model' should be a callable, given 3"):
        own.save(path, {"model": model}, filter={"model": 3})  # type: ignore[dict-item]  # as above


def test_missing_names_are_refused_unless_told_otherwise(tmp_path: Path) -> None:
    own, model, optimizer = trained(1)
    path = tmp_path / "state.ckpt"
    own.save(path, {"model": model})
    state: dict[str, Any] = {"model": model, "optimizer": optimizer}
    with pytest.raises(KeyError, match="optimizer"):
        own.load(path, state)
    assert own.load(path, state, strict=False) == {}


def test_files_that_are_not_whole_or_not_plain_are_refused(tmp_path: Path) -> None:
    own, model, _ = trained(1)
    path = tmp_path / "state.ckpt"
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        own.load(path)
    with pytest.raises(CheckpointError, match="plain data and tensors only"):
        own.save(path, {"thing": object()})
    assert not path.exists()
    own.save(path, {"model": model})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        own.load(path)
    with pytest.raises(MisconfigurationException, match="plain data only"):
        own.load(path, weights_only=False)


def test_a_raw_state_of_torch_is_read(tmp_path: Path) -> None:
    own, model, optimizer = trained(1)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    _, other, other_optimizer = trained(2)
    own.load_raw(tmp_path / "model.pt", other)
    own.load_raw(tmp_path / "optimizer.pt", other_optimizer)
    assert torch.equal(other.weight, model.weight)
    torch.save({"weight": torch.zeros(1, 3)}, tmp_path / "part.pt")
    with pytest.raises(RuntimeError, match="Missing key"):
        own.load_raw(tmp_path / "part.pt", other)
    own.load_raw(tmp_path / "part.pt", other, strict=False)
    assert other.weight.tolist() == [[0.0, 0.0, 0.0]]
