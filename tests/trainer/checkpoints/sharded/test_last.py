"""What `ckpt_path="last"` does about folders that cannot be taken: only what is damaged for certain is set aside."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

import trainer as L
from tests.trainer.checkpoints.sharded.jobs import Model, loader, make_trainer, strategy
from trainer.callbacks import ModelCheckpoint
from trainer.checkpoints.sharded import manifest
from trainer.errors import CheckpointError
from trainer.trainer import Trainer


def trained(folder: Path, steps: int) -> Trainer:
    saver = ModelCheckpoint(folder / "kept", filename="{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = make_trainer(folder, 1, strategy("plain", 1), max_steps=steps, callbacks=[saver],
                           enable_checkpointing=True)  # fmt: skip
    trainer.fit(Model(), loader(1), ckpt_path="last")
    return trainer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "kept").iterdir())


def test_a_folder_that_cannot_be_read_now_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path, 2)
    before = names(tmp_path)

    def fails(path: Path) -> manifest.Entry:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path.name)

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "measure", fails)
        with pytest.raises(CheckpointError, match=r"cannot be read here: .*Input/output error"):
            trained(tmp_path, 3)
    assert names(tmp_path) == before
    assert trained(tmp_path, 3).global_step == 3


def test_where_all_are_damaged_nothing_is_begun_afresh(tmp_path: Path) -> None:
    trained(tmp_path, 2)
    for folder in (tmp_path / "kept").iterdir():
        place = max(folder.glob("__*"))
        data = bytearray(place.read_bytes())
        data[len(data) // 2] ^= 1
        place.write_bytes(data)
    with (
        pytest.warns(UserWarning, match="takes the one before it"),
        pytest.raises(CheckpointError, match=r"Every checkpoint .* is damaged: .*\.corrupt-.*Restore one of them"),
    ):
        trained(tmp_path, 3)
    assert all(name.startswith(".corrupt-") for name in names(tmp_path))


def test_a_size_that_does_not_fit_is_named(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, 1, strategy("fsdp", 1), max_steps=1)
    trainer.fit(Model(), loader(1))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"size mismatch for enter\.weight"):
        make_trainer(tmp_path, 1, strategy("fsdp", 1), max_steps=2).fit(
            Model(9), loader(1), ckpt_path=tmp_path / "a.ckpt"
        )


class Gained(Model):
    """A layer on the meta device that cannot fill itself."""

    def configure_model(self) -> None:
        if not hasattr(self, "gain"):
            with torch.device("meta"):
                self.gain = nn.Parameter(torch.empty(3))


@pytest.mark.parametrize("name", ["plain", "fsdp"])
def test_what_neither_a_layer_nor_the_checkpoint_fills_is_refused(tmp_path: Path, name: str) -> None:
    trainer = make_trainer(tmp_path, 1, strategy(name, 1), max_steps=1)
    trainer.fit(Model(), loader(1))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    model = Gained()
    model.strict_loading = False
    with pytest.raises(CheckpointError, match=r"lacks \['gain'\], which Gained built on the meta device"):
        make_trainer(tmp_path, 1, strategy(name, 1)).validate(model, loader(1), ckpt_path=tmp_path / "a.ckpt")


def test_fabric_reads_folders_too(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, 1, strategy("plain", 1), max_steps=1)
    trainer.fit(Model(), loader(1))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    found = L.Fabric(accelerator="cpu", devices=1).load(tmp_path / "a.ckpt")
    assert found["global_step"] == 1
    assert torch.equal(found["state_dict"]["enter.weight"], trainer.lightning_module.state_dict()["enter.weight"])
