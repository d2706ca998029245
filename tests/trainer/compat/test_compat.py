"""The same script under both imports: hook order, losses, logged values, checkpoints, one by one."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainer
from tests.trainer.compat.pieces import Api, Seen
from tests.trainer.compat.scripts import SCRIPTS
from trainer import callbacks, loggers
from trainer.utilities import CombinedLoader

OURS = Api(trainer, callbacks, loggers.Logger, CombinedLoader)


def lightning_or_skip() -> Api:
    theirs = pytest.importorskip("lightning", reason="lightning is not installed, so there is nothing to compare with")
    return Api(
        theirs,
        importlib.import_module("lightning.pytorch.callbacks"),
        importlib.import_module("lightning.pytorch.loggers").Logger,
        importlib.import_module("lightning.pytorch.utilities").CombinedLoader,
    )


def run(name: str, api: Api, folder: Path) -> Seen:
    folder.mkdir()
    torch.manual_seed(1)
    return SCRIPTS[name](api, folder)


def compare(ours: Any, theirs: Any, place: str) -> list[str]:
    """Return every place where the two differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        missing = [f"{place}: only one has {key!r}" for key in sorted(set(map(str, ours)) ^ set(map(str, theirs)))]
        return missing + [
            bad for key in ours if key in theirs for bad in compare(ours[key], theirs[key], f"{place}.{key}")
        ]
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        if len(ours) != len(theirs):
            return [f"{place}: {len(ours)} here, {len(theirs)} in Lightning: {ours} / {theirs}"]
        return [
            bad
            for index, pair in enumerate(zip(ours, theirs, strict=True))
            for bad in compare(*pair, f"{place}[{index}]")
        ]
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        same = ours.shape == theirs.shape and torch.allclose(ours.double(), theirs.double(), atol=1e-6)
    elif isinstance(ours, float) and isinstance(theirs, float):
        same = ours == pytest.approx(theirs, abs=1e-6)
    else:
        same = bool(ours == theirs)
    return [] if same else [f"{place}: {ours!r} here, {theirs!r} in Lightning"]


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_a_script_runs_here(name: str, tmp_path: Path) -> None:
    seen = run(name, OURS, tmp_path / "ours")
    assert seen["global_step"] > 0
    assert all(torch.isfinite(weight).all() for weight in seen["weights"].values())


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_a_script_does_the_same_in_lightning(name: str, tmp_path: Path) -> None:
    lightning = lightning_or_skip()
    ours = run(name, OURS, tmp_path / "ours")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Lightning warns of is not our subject
        theirs = run(name, lightning, tmp_path / "theirs")
    assert [bad for key in ours for bad in compare(ours[key], theirs[key], key)] == []
