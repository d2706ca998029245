"""Checkpoints: which are kept, when, under which names, and that none is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.callbacks import ModelCheckpoint
from trainer.callbacks.checkpoint_names import format_checkpoint_name, unused_path
from trainer.checkpoints.files import load_checkpoint
from trainer.errors import CheckpointError, MetricNotFoundError, MisconfigurationException
from trainer.loggers import CSVLogger


class Scripted(LoggingRegression):
    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values: Iterator[float] = iter(values)

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.log("score", next(self.values))


def run(tmp_path: Path, saver: ModelCheckpoint, values: list[float], **options: Any) -> list[str]:
    trainer = make_trainer(tmp_path, callbacks=saver, **({"max_epochs": len(values)} | options))
    trainer.fit(Scripted(values), regression_loader(8, 4), regression_loader(4))
    folder = Path(saver.dirpath or "")
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_the_newest_is_kept_without_a_metric(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path / "c")
    assert run(tmp_path, saver, [3, 2, 1]) == ["epoch=2-step=6.ckpt"]
    assert saver.best_model_path.endswith("epoch=2-step=6.ckpt")
    assert saver.best_model_score is None


@pytest.mark.parametrize(
    ("mode", "top", "kept", "best"),
    [
        ("min", 1, ["epoch=2"], "epoch=2"),
        ("min", 2, ["epoch=1", "epoch=2"], "epoch=2"),
        ("max", 2, ["epoch=0", "epoch=3"], "epoch=3"),
        ("min", -1, ["epoch=0", "epoch=1", "epoch=2", "epoch=3"], "epoch=2"),
        ("min", 0, [], ""),
    ],
)
def test_the_best_are_kept(tmp_path: Path, mode: Any, top: int, kept: list[str], best: str) -> None:
    saver = ModelCheckpoint(tmp_path / "c", "{epoch}", monitor="score", mode=mode, save_top_k=top)
    assert run(tmp_path, saver, [3, 2, 1, 4]) == [f"{name}.ckpt" for name in kept]
    assert Path(saver.best_model_path).name == (f"{best}.ckpt" if best else "")
    if best:
        assert saver.best_model_score == {"min": 1.0, "max": 4.0}[mode]


def test_last_is_always_the_newest(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path / "c", "{epoch}-{score:.1f}", monitor="score", save_last=True)
    assert run(tmp_path, saver, [1, 2, 3]) == ["epoch=0-score=1.0.ckpt", "last.ckpt"]
    assert load_checkpoint(saver.last_model_path)["epoch"] == 2
    state = load_checkpoint(saver.last_model_path)["callbacks"][saver.state_key]
    assert state["last_model_path"] == saver.last_model_path


def test_a_nan_is_never_best(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path / "c", "{epoch}", monitor="score")
    assert run(tmp_path, saver, [float("nan"), 2, float("nan")]) == ["epoch=1.ckpt"]


@pytest.mark.parametrize(
    ("options", "steps"),
    [({"every_n_train_steps": 3}, [3, 6]), ({"every_n_epochs": 2}, [4, 8]), ({"every_n_epochs": 0}, [])],
)
def test_saves_happen_as_often_as_asked(tmp_path: Path, options: dict[str, Any], steps: list[int]) -> None:
    saver = ModelCheckpoint(tmp_path / "c", "{step}", save_top_k=-1, **options)
    assert run(tmp_path, saver, [1, 1, 1, 1]) == [f"step={step}.ckpt" for step in steps]


def test_a_misspelt_metric_fails_at_the_first_save_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(MetricNotFoundError, match=r"`scor`, which was not logged.*'score'.*'val_loss'"):
        run(tmp_path, ModelCheckpoint(tmp_path / "c", monitor="scor"), [1, 2, 3])


def test_a_metric_of_a_later_validation_is_waited_for(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path / "c", "{step}", monitor="score", every_n_train_steps=1, save_top_k=-1)
    with pytest.warns(UserWarning, match="Nothing is ranked before the first validation"):
        assert run(tmp_path, saver, [1, 2]) == ["step=3.ckpt", "step=4.ckpt"]
    wrong = ModelCheckpoint(tmp_path / "w", monitor="scor", every_n_train_steps=1)
    with pytest.warns(UserWarning, match="scor"), pytest.raises(MetricNotFoundError):
        run(tmp_path, wrong, [1, 2])


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saver = ModelCheckpoint(tmp_path / "c", "{epoch}")
    calls: list[int] = []

    def broken_disk(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:  # two for the first checkpoint: file and folder
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken_disk)
    with pytest.raises(CheckpointError, match=r"No space left on device.*previous file.*untouched"):
        run(tmp_path, saver, [1, 2, 3])
    assert os.listdir(tmp_path / "c") == ["epoch=0.ckpt"]
    assert load_checkpoint(tmp_path / "c" / "epoch=0.ckpt")["epoch"] == 0
    assert saver.best_model_path.endswith("epoch=0.ckpt")


def test_files_of_other_runs_are_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path, ModelCheckpoint(tmp_path / "c", "model"), [1])
    saver = ModelCheckpoint(tmp_path / "c", "model")
    assert run(tmp_path, saver, [1]) == ["model-v1.ckpt", "model.ckpt"]
    assert saver.best_model_path.endswith("model-v1.ckpt")
    overwriting = ModelCheckpoint(tmp_path / "d", "model", enable_version_counter=False)
    assert run(tmp_path, overwriting, [1, 2, 3]) == ["model.ckpt"]


def test_the_default_folder_is_the_loggers(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=1, logger=True, enable_checkpointing=True)
    trainer.fit(Regression(), regression_loader(8))
    expected = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "epoch=0-step=2.ckpt"
    assert trainer.checkpoint_callback is not None
    assert trainer.checkpoint_callback.best_model_path == str(expected)
    assert expected.exists()


def test_an_exception_can_leave_a_checkpoint(tmp_path: Path) -> None:
    class Broken(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.global_step == 3:
                raise ZeroDivisionError
            return self.loss(batch)

    saver = ModelCheckpoint(tmp_path / "c", save_on_exception=True)
    with pytest.raises(ZeroDivisionError):
        make_trainer(tmp_path, max_epochs=1, callbacks=saver).fit(Broken(), regression_loader())
    assert load_checkpoint(tmp_path / "c" / "last.ckpt")["global_step"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_top_k": -2}, "save_top_k=-2"),
        ({"save_top_k": 3}, "nothing to rank by"),
        ({"mode": "best"}, "'best'"),
        ({"every_n_epochs": -1}, "at least 0"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        ModelCheckpoint(**options)


def test_names_are_filled_in() -> None:
    values = {"epoch": 3, "step": 40, "val/loss": torch.tensor(0.1234), "n": 7}
    assert format_checkpoint_name("{epoch}-{step}", values, "=") == "epoch=3-step=40"
    assert format_checkpoint_name("m-{epoch:02d}-{val/loss:.2f}", values, None) == "m-03-0.12"
    with pytest.raises(MetricNotFoundError, match=r"asks for `acc`.*'epoch', 'n'"):
        format_checkpoint_name("{acc}", values, "=")


def test_unused_paths_count_up(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    assert unused_path(str(path), ".ckpt", 1) == str(path)
    being_written = unused_path(str(path), ".ckpt", 1, taken=[str(path)])  # beside the steps, and not there yet
    assert being_written == str(path).replace(".ckpt", "-v1.ckpt")
    path.touch()
    (tmp_path / "a-v1.ckpt").touch()
    assert unused_path(str(path), ".ckpt", 1) == str(tmp_path / "a-v2.ckpt")


def test_nothing_is_saved_before_the_first_step(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=saving, accumulate_grad_batches=2)
    trainer.fit(Regression(), regression_loader(32, 4))
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["step=2.ckpt", "step=4.ckpt"]


def test_a_resumed_run_with_a_folder_of_its_own_leaves_the_files_of_the_first(tmp_path: Path) -> None:
    first = make_trainer(tmp_path, max_epochs=2, logger=CSVLogger(tmp_path), callbacks=ModelCheckpoint(save_top_k=-1))
    first.fit(Regression(), regression_loader(8, 4))
    files = sorted(Path(str(first.log_dir)).rglob("*.ckpt"))
    assert [path.name for path in files] == ["epoch=0-step=2.ckpt", "epoch=1-step=4.ckpt"]
    second = make_trainer(tmp_path, max_epochs=4, logger=CSVLogger(tmp_path), callbacks=ModelCheckpoint())
    second.fit(Regression(), regression_loader(8, 4), ckpt_path=files[-1])
    assert all(path.exists() for path in files)
    kept = [path.name for path in Path(str(second.log_dir)).rglob("*.ckpt")]
    assert kept == ["epoch=3-step=8.ckpt"]


def test_files_are_named_as_in_lightning(tmp_path: Path) -> None:
    values = {"epoch": 3, "step": 40}
    assert ModelCheckpoint().format_checkpoint_name(values) == "epoch=3-step=40.ckpt"
    saver = ModelCheckpoint(tmp_path, "{epoch:02d}")
    assert saver.format_checkpoint_name(values, ver=2) == str(tmp_path / "epoch=03-v2.ckpt")
    saver.CHECKPOINT_EQUALS_CHAR, saver.CHECKPOINT_JOIN_CHAR = ":", "_"  # type: ignore[misc]  # users set them
    assert saver.format_checkpoint_name(values, prefix="my") == str(tmp_path / "my_epoch:03.ckpt")


def test_it_saves_by_the_clock(tmp_path: Path) -> None:
    class Slow(LoggingRegression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            time.sleep(0.03 if batch_idx == 1 else 0.0)
            return super().training_step(batch, batch_idx)

    saver = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, train_time_interval=timedelta(seconds=0.03))
    make_trainer(tmp_path, max_epochs=1, callbacks=saver).fit(Slow(), regression_loader(16, 4))
    assert "step=2.ckpt" in [path.name for path in tmp_path.iterdir()]
    assert saver.every_n_epochs == 0


def test_kept_files_are_listed_as_yaml(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss")
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=saver)
    trainer.fit(LoggingRegression(), regression_loader(8), regression_loader(8))
    saver.to_yaml()
    score = trainer.callback_metrics["val_loss"].item()
    assert (tmp_path / "best_k_models.yaml").read_text() == f'"{tmp_path / "step=2.ckpt"}": {score!r}\n'


def test_triggers_exclude_each_other() -> None:
    with pytest.raises(MisconfigurationException, match="every_n_train_steps and every_n_epochs"):
        ModelCheckpoint(every_n_train_steps=1, every_n_epochs=1)
