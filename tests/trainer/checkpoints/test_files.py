"""Checkpoint files: plain, whole, verified."""

from __future__ import annotations

import enum
import os
import pickle
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.checkpoints.files import (
    check_plain,
    find_unplain,
    link_checkpoint,
    load_checkpoint,
    load_plain,
    save_checkpoint,
)
from trainer.errors import CheckpointError


class Colour(enum.StrEnum):
    RED = "red"


PLAIN: dict[str, Any] = {
    "state_dict": {"weight": torch.ones(2), "parameter": torch.nn.Parameter(torch.zeros(1))},
    "numbers": [1, 2.5, True, None, 3 + 4j],
    "text": "a",
    "bytes": b"a",
    "nested": {"tuple": (1, (2,)), "set": {1, 2}, 3: "key"},
    "ordered": OrderedDict(a=1),
    "counter": Counter("aab"),
    "torch": [torch.float32, torch.device("cpu"), torch.Size([1, 2])],
}


def test_plain_data_comes_back(tmp_path: Path) -> None:
    save_checkpoint(PLAIN, tmp_path / "a.ckpt")
    loaded = load_checkpoint(tmp_path / "a.ckpt")
    for key in PLAIN.keys() - {"state_dict"}:
        assert loaded[key] == PLAIN[key], key
    assert torch.equal(loaded["state_dict"]["weight"], torch.ones(2))
    assert os.listdir(tmp_path) == ["a.ckpt"]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, {"b": np.float64(1.0)}]}, r"x\['a'\]\[1\]\['b'\]: numpy.float64"),
        (Colour.RED, "x: .*Colour"),
        (torch.nn.MSELoss(), "x: torch.nn.modules.loss.MSELoss"),
        (Path("a"), "x: pathlib"),
        (len, "x: builtins"),
    ],
)
def test_what_would_not_load_is_refused_with_its_place(tmp_path: Path, value: Any, place: str) -> None:
    with pytest.raises(CheckpointError, match=place):
        save_checkpoint({"state_dict": {}, "x": value}, tmp_path / "a.ckpt")
    assert os.listdir(tmp_path) == []


def test_everything_called_plain_really_loads(tmp_path: Path) -> None:
    assert find_unplain(PLAIN, "x") is None
    torch.save(PLAIN, tmp_path / "a")
    torch.load(tmp_path / "a", weights_only=True)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(CheckpointError, match=r"a: pathlib.*; b\[0\]: numpy"):
        check_plain({"a": Path("x"), "b": [np.int64(1)]})


@pytest.mark.parametrize("cut", [0, 10, 200, -30])
def test_damaged_files_are_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint(PLAIN, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match=r"a.ckpt \(\d+ bytes\) is damaged or cut short"):
        load_checkpoint(path)


def test_flipped_bytes_in_the_weights_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint({"state_dict": {"w": torch.full((1000,), 7.0)}}, path)
    data = bytearray(path.read_bytes())
    place = data.index(torch.full((10,), 7.0).numpy().tobytes())
    data[place + 100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(CheckpointError, match="holds a list without 'state_dict'"):
        load_checkpoint(tmp_path / "list.ckpt")
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "text.ckpt")


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def test_files_that_would_run_code_are_not_read(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="could run code"):
        load_checkpoint(tmp_path / "evil.ckpt")
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "raw.ckpt")
    assert not (tmp_path / "evil").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint({"state_dict": {}, "n": 1}, path)

    def fail(*args: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(CheckpointError, match="Input/output error"):
        save_checkpoint({"state_dict": {}, "n": 2}, path)
    assert os.listdir(tmp_path) == ["a.ckpt"]
    assert load_checkpoint(path)["n"] == 1


def test_a_link_replaces_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        save_checkpoint({"state_dict": {}, "n": number}, tmp_path / f"{number}.ckpt")
    link_checkpoint(tmp_path / "1.ckpt", tmp_path / "last.ckpt")
    link_checkpoint(tmp_path / "2.ckpt", tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt")["n"] == 2

    def no_links(*args: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    link_checkpoint(tmp_path / "1.ckpt", tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt")["n"] == 1
    assert sorted(os.listdir(tmp_path)) == ["1.ckpt", "2.ckpt", "last.ckpt"]


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "NAdam", "RAdam", "LBFGS"])
def test_checkpoints_of_torchs_optimizers_and_schedulers_load(tmp_path: Path, name: str) -> None:
    schedulers = torch.optim.lr_scheduler

    class Model(Regression):
        def configure_optimizers(self) -> Any:
            optimizer = getattr(torch.optim, name)(self.parameters(), lr=0.01)
            return [optimizer], [
                schedulers.CosineAnnealingLR(optimizer, 5),
                schedulers.MultiStepLR(optimizer, [1, 2]),
                schedulers.LambdaLR(optimizer, lambda epoch: 0.9),
                schedulers.SequentialLR(
                    optimizer, [schedulers.ConstantLR(optimizer), schedulers.ExponentialLR(optimizer, 0.9)], [1]
                ),
                schedulers.OneCycleLR(optimizer, 0.1, total_steps=50, cycle_momentum=False),
                schedulers.CosineAnnealingWarmRestarts(optimizer, 3),
            ]

    trainer = make_trainer(tmp_path, max_epochs=2)
    trainer.fit(Model(), regression_loader(8))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = make_trainer(tmp_path, max_epochs=3)
    again.fit(Model(), regression_loader(8), ckpt_path=tmp_path / "a.ckpt")
    assert again.current_epoch == 3


def test_unplain_state_of_a_callback_is_refused_by_name(tmp_path: Path) -> None:
    class Model(Regression):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = np.float32(1.0)

    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(Model(), regression_loader(8))
    with pytest.raises(CheckpointError, match=r"mine: numpy.float32.*float\(x\)"):
        trainer.save_checkpoint(tmp_path / "a.ckpt")


def test_a_file_read_lazily_stays_as_it_is(tmp_path: Path) -> None:
    path, value = tmp_path / "a.ckpt", torch.arange(1 << 16, dtype=torch.float32)
    save_checkpoint({"state_dict": {"w": value}}, path)
    before = path.read_bytes()
    found = load_plain(path, lazily=True)["state_dict"]["w"]
    maps = Path("/proc/self/maps")
    if maps.is_file():
        assert str(path) in maps.read_text()  # the tensor's memory is the file's
    assert torch.equal(found, value)
    found.zero_()
    save_checkpoint({"state_dict": {"w": value + 1}}, path)  # another file of the same name
    assert not found.any()
    assert path.read_bytes() != before
    assert torch.equal(load_plain(path)["state_dict"]["w"], value + 1)
