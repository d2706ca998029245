"""Checkpoints behind URLs: fsspec's memory, and an S3 server with faults."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from components.testing import S3Server, cut_body, failing
from tests.trainer.models import (
    LoggingRegression,
    Regression,
    assert_equal_weights,
    make_trainer,
    regression_loader,
)
from trainer.callbacks import ModelCheckpoint, OnExceptionCheckpoint
from trainer.checkpoints import places
from trainer.checkpoints.files import load_checkpoint, save_checkpoint
from trainer.errors import CheckpointError, CheckpointMissingError, MisconfigurationException

BUCKET = "checkpoints"


@pytest.fixture
def s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Return a server that s3fs finds as a user tells it: in fsspec's configuration."""
    monkeypatch.setitem(fsspec.config.conf, "s3", s3.storage_options())
    s3.make_bucket(BUCKET)
    return s3


@pytest.fixture(params=["memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty folder."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        yield f"s3://{BUCKET}/{tmp_path.name}"
        return
    yield f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").store.clear()


def names_in(folder: str) -> list[str]:
    return [places.name_of(path) for path, _ in places.files_in(folder)]


def test_a_fit_saves_deletes_and_resumes(root: str, tmp_path: Path) -> None:
    def saver() -> ModelCheckpoint:
        return ModelCheckpoint(
            f"{root}/kept", monitor="train_loss", save_top_k=2, save_last=True, every_n_train_steps=2
        )

    straight = LoggingRegression(dropout=0.5)
    torch.manual_seed(1)
    make_trainer(tmp_path, max_epochs=3).fit(straight, regression_loader(shuffle=True))
    torch.manual_seed(1)
    keeper = saver()
    first = make_trainer(tmp_path, max_steps=8, callbacks=keeper)
    first.fit(LoggingRegression(dropout=0.5), regression_loader(shuffle=True))
    assert len(names_in(f"{root}/kept")) == 3
    assert set(keeper.best_k_models) | {f"{root}/kept/last.ckpt"} == {
        path for path, _ in places.files_in(f"{root}/kept")
    }
    assert keeper.best_model_path.startswith(f"{root}/kept/epoch=")
    torch.manual_seed(999)
    resumed = LoggingRegression(dropout=0.5)
    second = make_trainer(tmp_path, max_epochs=3, callbacks=saver())
    second.fit(resumed, regression_loader(shuffle=True), ckpt_path="last")
    assert second.ckpt_path == f"{root}/kept/last.ckpt"
    assert_equal_weights(straight, resumed)
    assert len(names_in(f"{root}/kept")) == 3
    assert load_checkpoint(f"{root}/kept/last.ckpt")["global_step"] == 18
    assert not list(tmp_path.glob("*:*"))  # no folder "s3:" beside us


def test_a_folder_is_listed_with_one_question(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time()
    for name in ("b.ckpt", "a.ckpt", "c.txt"):
        save_checkpoint({"state_dict": {}}, f"{root}/{name}")
    files, _ = fsspec.core.url_to_fs(root)
    asked: list[str] = []
    for question in ("modified", "info", "created"):
        monkeypatch.setattr(files, question, lambda *_, question=question: asked.append(question))
    listings = files.ls

    def listed(*args: Any, **options: Any) -> Any:
        asked.append("ls")
        return listings(*args, **options)

    monkeypatch.setattr(files, "ls", listed)
    found = places.files_in(root, ".ckpt")
    assert [path for path, _ in found] == [f"{root}/a.ckpt", f"{root}/b.ckpt"]
    assert all(before - 2 <= changed <= time.time() + 2 for _, changed in found)  # S3 counts whole seconds
    assert asked == ["ls"]


def test_a_remote_root_holds_the_checkpoints(root: str, tmp_path: Path) -> None:
    saver = ModelCheckpoint()
    trainer = make_trainer(tmp_path, max_epochs=1, default_root_dir=root, callbacks=saver)
    trainer.fit(Regression(), regression_loader())
    assert saver.best_model_path == f"{root}/checkpoints/epoch=0-step=6.ckpt"
    assert trainer.default_root_dir == root
    assert names_in(f"{root}/checkpoints") == ["epoch=0-step=6.ckpt"]
    again = ModelCheckpoint()
    make_trainer(tmp_path, max_epochs=1, default_root_dir=root, callbacks=again).fit(Regression(), regression_loader())
    assert again.best_model_path == f"{root}/checkpoints/epoch=0-step=6-v1.ckpt"


def test_a_remote_root_holds_the_logs_too(root: str, tmp_path: Path) -> None:
    for version in (0, 1):
        trainer = make_trainer(
            tmp_path, max_epochs=2, default_root_dir=root, logger=True, enable_checkpointing=True, log_every_n_steps=1
        )
        trainer.fit(LoggingRegression(), regression_loader())
        folder = f"{root}/lightning_logs/version_{version}"
        assert trainer.log_dir == folder
        assert names_in(folder) == ["hparams.yaml", "metrics.csv"]
        assert names_in(f"{folder}/checkpoints") == ["epoch=1-step=12.ckpt"]
        with fsspec.open(f"{folder}/metrics.csv", "r") as file:
            assert len(file.read().splitlines()) == 1 + 12 + 2  # a header, the steps, the epochs
    assert not list(Path.cwd().glob("*:*"))


def test_files_by_name_are_saved_loaded_and_evaluated(root: str, tmp_path: Path) -> None:
    trainer, model = make_trainer(tmp_path, max_epochs=1), LoggingRegression(lr=0.125)
    trainer.fit(model, regression_loader())
    trainer.save_checkpoint(f"{root}/by-hand.ckpt")
    loaded = LoggingRegression.load_from_checkpoint(f"{root}/by-hand.ckpt")
    assert loaded.lr == 0.125
    assert_equal_weights(model, loaded)
    other = LoggingRegression(seed=8)
    [result] = make_trainer(tmp_path).validate(
        other, regression_loader(8), ckpt_path=f"{root}/by-hand.ckpt", verbose=False
    )
    assert_equal_weights(model, other)
    assert result["val_loss"] == trainer.validate(model, regression_loader(8), verbose=False)[0]["val_loss"]


def test_what_is_missing_or_damaged_is_named(root: str) -> None:
    with pytest.raises(CheckpointMissingError, match=f"There is no checkpoint {root}/none.ckpt"):
        load_checkpoint(f"{root}/none.ckpt")
    save_checkpoint({"state_dict": {"w": torch.ones(1000)}}, f"{root}/a.ckpt")
    with fsspec.open(f"{root}/a.ckpt", "rb") as file:
        data = bytearray(file.read())
    data[len(data) // 2] ^= 4
    with fsspec.open(f"{root}/a.ckpt", "wb") as file:
        file.write(bytes(data))
    with pytest.raises(CheckpointError, match=rf"{root}/a.ckpt \(\d+ bytes\) is damaged.*digest"):
        load_checkpoint(f"{root}/a.ckpt")


def test_the_end_of_a_good_fit_removes_the_checkpoint_of_its_exception(root: str, tmp_path: Path) -> None:
    class Failing(Regression):
        def on_train_batch_end(self, *args: Any) -> None:
            raise RuntimeError("mine")

    saver = OnExceptionCheckpoint(root)
    options: dict[str, Any] = {"max_epochs": 1, "callbacks": saver, "enable_checkpointing": True}
    with pytest.raises(RuntimeError, match="mine"):
        make_trainer(tmp_path, **options).fit(Failing(), regression_loader())
    assert names_in(root) == ["on_exception.ckpt"]
    make_trainer(tmp_path, **options).fit(Regression(), regression_loader(), ckpt_path=saver.ckpt_path)
    assert names_in(root) == []


def lost(*args: Any, **kwargs: Any) -> Any:
    raise TimeoutError("the network went away")


@pytest.mark.parametrize(
    ("step", "does", "message"),
    [
        ("put_file", lost, "TimeoutError: the network went away"),
        ("mv", lost, "TimeoutError: the network went away"),
        ("info", lambda *args: {"size": 7}, r"7 of \d+ bytes arrived"),
    ],
)
def test_a_failed_write_leaves_the_old_object_and_no_other(
    root: str, step: str, does: Callable[..., Any], message: str
) -> None:
    save_checkpoint({"state_dict": {}, "n": 1}, f"{root}/a.ckpt")
    files = fsspec.core.url_to_fs(root)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, step, does)
        with pytest.raises(CheckpointError, match=rf"{root}/a.ckpt could not be written: .*{message}"):
            save_checkpoint({"state_dict": {}, "n": 2}, f"{root}/a.ckpt")
    assert names_in(root) == ["a.ckpt"]
    assert load_checkpoint(f"{root}/a.ckpt")["n"] == 1


def test_nobody_sees_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory shows an object while it is written: what is half there must have another name."""
    files = fsspec.filesystem("memory")
    seen: list[list[str]] = []
    real = type(files).put_file

    def put_file(self: Any, local: str, target: str, *args: Any, **kwargs: Any) -> None:
        with self.open(target, "wb") as file, open(local, "rb") as source:
            file.write(source.read(100))
            seen.append(names_in("memory://parts"))
        real(self, local, target, *args, **kwargs)

    monkeypatch.setattr(type(files), "put_file", put_file)
    try:
        save_checkpoint({"state_dict": {}}, "memory://parts/a.ckpt")
        assert names_in("memory://parts") == ["a.ckpt"]
        assert [name.endswith(".tmp") for names in seen for name in names] in ([], [True])
    finally:
        files.store.clear()


@pytest.mark.parametrize("operation", ["PutObject", "CopyObject"])
def test_s3_refuses(s3: S3Server, operation: str) -> None:
    url = f"s3://{BUCKET}/refused/a.ckpt"
    save_checkpoint({"state_dict": {}, "n": 1}, url)
    s3.inject(failing(403, "AccessDenied", times=50, operations=(operation,)))
    with pytest.raises(CheckpointError, match=r"refused/a.ckpt could not be written: PermissionError.*credentials"):
        save_checkpoint({"state_dict": {}, "n": 2}, url)
    s3.clear()
    assert names_in(f"s3://{BUCKET}/refused") == ["a.ckpt"]
    assert load_checkpoint(url)["n"] == 1


def test_s3_cuts_a_body(s3: S3Server) -> None:
    url = f"s3://{BUCKET}/cut/a.ckpt"
    save_checkpoint({"state_dict": {"w": torch.ones(50_000)}}, url)
    s3.inject(cut_body(times=50))
    with pytest.raises(CheckpointError, match=r"cut/a\.ckpt"):
        load_checkpoint(url)
    s3.clear()
    assert load_checkpoint(url)["state_dict"]["w"].sum() == 50_000


def test_a_bucket_that_is_not_there_is_named(s3: S3Server) -> None:
    with pytest.raises(CheckpointError, match=r"s3://nobodys/a\.ckpt could not be written"):
        save_checkpoint({"state_dict": {}}, "s3://nobodys/a.ckpt")


def test_urls_that_nothing_opens_are_refused() -> None:
    with pytest.raises(MisconfigurationException, match=r"nowhere://a/b.ckpt.*s3://bucket"):
        save_checkpoint({"state_dict": {}}, "nowhere://a/b.ckpt")


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    saver = ModelCheckpoint(f"file://{tmp_path}/kept")
    make_trainer(tmp_path, max_epochs=1, callbacks=saver).fit(Regression(), regression_loader())
    assert saver.best_model_path == f"{tmp_path}/kept/epoch=0-step=6.ckpt"
    assert os.listdir(tmp_path / "kept") == ["epoch=0-step=6.ckpt"]


def test_temporary_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    host = places._host()
    dead = 2**22 + 1  # more than any process number
    old = {
        f".a.ckpt.{host}-{dead}-{'0' * 32}.tmp": False,
        f".b.ckpt.{host}-{os.getpid()}-{'0' * 32}.tmp": True,
        f".c.ckpt.elsewhere-{dead}-{'0' * 32}.tmp": True,
        "mine.tmp": True,
    }
    fresh = f".d.ckpt.{host}-{dead}-{'1' * 32}.tmp"
    for name in (*old, fresh):
        (kept / name).touch()
    for name in old:
        os.utime(kept / name, (0, 0))
    make_trainer(tmp_path, max_steps=1, callbacks=ModelCheckpoint(kept, save_top_k=0)).fit(
        Regression(), regression_loader()
    )
    assert sorted(os.listdir(kept)) == sorted([*(name for name, stays in old.items() if stays), fresh])
