"""Files that are no checkpoints of ours: damaged, of another kind, or Lightning's; and what is unpickled of them."""

from __future__ import annotations

import json
import os
import pickle
import resource
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.compat.pieces import loader, regression
from tests.trainer.compat.test_compat import OURS, lightning_or_skip
from tests.trainer.models import LoggingRegression, Regression, assert_equal_weights, make_trainer, regression_loader
from trainer.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint, OnExceptionCheckpoint
from trainer.checkpoints.files import link_checkpoint, load_checkpoint, save_checkpoint
from trainer.errors import CheckpointError, CheckpointMissingError
from trainer.plugins import TorchCheckpointIO


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the files that torch was asked to read."""
    read: list[str] = []

    def load(path: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(str(path))
        raise AssertionError("unpickled")

    monkeypatch.setattr(torch, "load", load)
    return read


def whole(path: Path) -> bytes:
    save_checkpoint({"state_dict": {"w": torch.arange(500.0)}, "epoch": 3}, path)
    return path.read_bytes()


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path, unpickled: list[str]) -> None:
    path = tmp_path / "a.ckpt"
    data, random = whole(path), Random(1)
    for place in [*range(30), *random.sample(range(len(data)), 120), *range(len(data) - 100, len(data))]:
        flipped = bytearray(data)
        flipped[place] ^= 1 << random.randrange(8)
        path.write_bytes(bytes(flipped))
        with pytest.raises(CheckpointError, match=r"a.ckpt \(\d+ bytes\) is damaged") as caught:
            load_checkpoint(path)
        assert "earlier checkpoint" in str(caught.value)
    assert unpickled == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 0.999])
def test_a_file_cut_short_is_noticed(tmp_path: Path, unpickled: list[str], share: float) -> None:
    path = tmp_path / "a.ckpt"
    data = whole(path)
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        load_checkpoint(path)
    path.write_bytes(data + b"more")
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        load_checkpoint(path)
    assert unpickled == []


def test_files_of_other_kinds_are_refused(tmp_path: Path, unpickled: list[str]) -> None:
    (tmp_path / "text.ckpt").write_text(json.dumps({"state_dict": {}}))
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps({"state_dict": {}}))
    np.savez(tmp_path / "numpy", w=np.ones(3))
    with zipfile.ZipFile(tmp_path / "page.docx", "w") as archive:
        archive.writestr("document.xml", "text")
    torch.save({"state_dict": {}}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("text.ckpt", "pickle.ckpt", "numpy.npz", "page.docx", "old.pt"):
        with pytest.raises(CheckpointError, match=rf"{name} .*no checkpoint"):
            load_checkpoint(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"archive of other things: document\.xml"):
        load_checkpoint(tmp_path / "page.docx")
    assert unpickled == []


def test_torch_reads_what_we_write_and_we_read_what_torch_writes(tmp_path: Path) -> None:
    whole(tmp_path / "a.ckpt")
    for mmap in (False, True):
        loaded = torch.load(tmp_path / "a.ckpt", weights_only=True, mmap=mmap)
        assert torch.equal(loaded["state_dict"]["w"], torch.arange(500.0))
    torch.save({"state_dict": {"w": torch.ones(2)}}, tmp_path / "b.ckpt")
    assert load_checkpoint(tmp_path / "b.ckpt")["state_dict"]["w"].sum() == 2


def test_a_missing_file_is_a_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        Regression.load_from_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(ValueError, match="needs a fit of this trainer"):
        make_trainer(tmp_path).validate(LoggingRegression(), regression_loader(), ckpt_path="best")


# What goes wrong while writing


def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path) -> None:
    """Torch answers a failed write with an error about a position in the file."""
    path = tmp_path / "a.ckpt"
    save_checkpoint({"state_dict": {}, "n": 1}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"a.ckpt could not be written: .*File too large.*space left"):
            save_checkpoint({"state_dict": {"w": torch.ones(100_000)}}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["a.ckpt"]
    assert load_checkpoint(path)["n"] == 1


@pytest.mark.parametrize("act", ["save", "link"])
def test_cleaning_up_does_not_hide_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint({"state_dict": {}}, tmp_path / "other.ckpt")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(5, "Input/output error")

    def cannot(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(Path, "unlink", cannot)
    save: Callable[[], None] = partial(save_checkpoint, {"state_dict": {}}, path)
    link: Callable[[], None] = partial(link_checkpoint, tmp_path / "other.ckpt", path)
    with pytest.raises(CheckpointError, match="Input/output error"):
        {"save": save, "link": link}[act]()


# Plugins


class Counting(TorchCheckpointIO):
    def __init__(self) -> None:
        self.removed: list[str] = []

    def remove_checkpoint(self, path: Any) -> None:
        self.removed.append(Path(path).name)
        super().remove_checkpoint(path)


def test_every_checkpoint_is_removed_by_the_plugin(tmp_path: Path) -> None:
    plugin = Counting()
    kept = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=2, save_last=True)
    kept.CHECKPOINT_NAME_LAST = "last-{step}"  # type: ignore[misc]  # as users set it
    trainer = make_trainer(tmp_path, max_epochs=1, plugins=plugin, callbacks=kept)
    trainer.fit(Regression(), regression_loader())
    assert sorted(plugin.removed) == sorted(
        ["epoch=0-step=2.ckpt", "epoch=0-step=4.ckpt", "last-step=2.ckpt", "last-step=4.ckpt"]
    )
    assert sorted(os.listdir(tmp_path / "kept")) == ["epoch=0-step=6.ckpt", "last-step=6.ckpt"]
    saver = OnExceptionCheckpoint(tmp_path)
    trainer.save_checkpoint(saver.ckpt_path)
    make_trainer(tmp_path, max_epochs=1, plugins=plugin, callbacks=saver, enable_checkpointing=True).fit(
        Regression(), regression_loader()
    )
    assert plugin.removed[-1] == "on_exception.ckpt"


def test_a_plugin_that_writes_no_files_gets_the_last_one_too(tmp_path: Path) -> None:
    class Memory(TorchCheckpointIO):
        kept: dict[str, Any] = {}  # noqa: RUF012 - one for the test

        def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
            self.kept[str(path)] = checkpoint

        def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> Any:
            return self.kept[str(path)]

        def remove_checkpoint(self, path: Any) -> None:
            del self.kept[str(path)]

    def saver() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path / "kept", monitor="step", mode="max", save_last=True, every_n_train_steps=2)

    class Model(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("step", float(self.global_step))
            return super().training_step(batch, batch_idx)

    plugin, first = Memory(), saver()
    make_trainer(tmp_path, max_epochs=1, plugins=plugin, callbacks=first).fit(Model(), regression_loader())
    assert sorted(plugin.kept) == [first.best_model_path, first.last_model_path]
    second = saver()
    make_trainer(tmp_path, max_epochs=2, plugins=plugin, callbacks=second).fit(
        Model(), regression_loader(), ckpt_path=first.last_model_path
    )
    assert sorted(plugin.kept) == [second.best_model_path, second.last_model_path]


# Lightning's files


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, float]:
    """Return a file that Lightning wrote, the model in it, and its validation loss."""
    api = lightning_or_skip()
    folder = tmp_path_factory.mktemp("theirs")

    class Data(api.L.LightningDataModule):  # type: ignore[misc,name-defined]  # a class of the other package
        def train_dataloader(self) -> Any:
            return loader()

        def val_dataloader(self) -> Any:
            return loader(8)

        def state_dict(self) -> dict[str, int]:
            return {"seen": 5}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = regression(api)(lr=0.25)
        callbacks = [
            api.callbacks.ModelCheckpoint(folder, monitor="val_loss"),
            api.callbacks.EMAWeightAveraging(decay=0.9),
            api.callbacks.EarlyStopping("val_loss"),
        ]
        trainer = api.L.Trainer(
            accelerator="cpu", max_epochs=2, logger=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=callbacks,
        )  # fmt: skip
        trainer.fit(model, datamodule=Data())
        trainer.save_checkpoint(folder / "theirs.ckpt")
        [result] = trainer.validate(model, loader(8), verbose=False)
    return folder / "theirs.ckpt", model, result["val_loss"]


def test_lightnings_files_give_weights_and_hyperparameters(theirs: tuple[Path, Any, float]) -> None:
    path, model, _ = theirs
    loaded = regression(OURS).load_from_checkpoint(path)
    assert loaded.hparams == {"lr": 0.25}
    assert_equal_weights(loaded, model)
    assert regression(OURS).load_from_checkpoint(path, lr=0.5).hparams == {"lr": 0.5}


def test_lightnings_files_are_evaluated_but_not_resumed(theirs: tuple[Path, Any, float], tmp_path: Path) -> None:
    path, trained, loss = theirs

    class Data(OURS.L.LightningDataModule):  # type: ignore[misc,name-defined]  # as above
        seen = 0

        def val_dataloader(self) -> Any:
            return loader(8)

        def load_state_dict(self, state_dict: dict[str, int]) -> None:
            self.seen = state_dict["seen"]

    Data.__qualname__ = next(name for name in torch.load(path, weights_only=True) if name.endswith("Data"))

    def callbacks() -> list[Any]:
        return [EMAWeightAveraging(decay=0.9), EarlyStopping("val_loss"), ModelCheckpoint(tmp_path, monitor="val_loss")]

    model, datamodule = regression(OURS)(), Data()
    trainer = make_trainer(tmp_path, callbacks=callbacks())
    [result] = trainer.validate(model, ckpt_path=path, datamodule=datamodule, verbose=False)
    assert result["val_loss"] == pytest.approx(loss, abs=1e-6)
    assert_equal_weights(model, trained)
    assert datamodule.seen == 5
    assert trainer.test(model, loader(8), ckpt_path=path, verbose=False)[0]["constant"] == 2.0
    with pytest.raises(CheckpointError, match=r"written by Lightning.*load_from_checkpoint"):
        make_trainer(tmp_path, callbacks=callbacks()).fit(model, loader(), loader(8), ckpt_path=path)


def test_a_file_of_another_program_is_refused_with_its_kind(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissingError):
        load_checkpoint(tmp_path / "x.ckpt")
    torch.save({"state_dict": Regression().state_dict()}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="written by another program"):
        make_trainer(tmp_path, max_epochs=1).fit(Regression(), regression_loader(), ckpt_path=tmp_path / "x.ckpt")
