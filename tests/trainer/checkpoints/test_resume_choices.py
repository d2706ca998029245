"""Which checkpoint a run takes, and what it takes from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trainer as L
from tests.trainer.checkpoints.test_resume import Model, loader
from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.callbacks import ModelCheckpoint
from trainer.checkpoints.files import load_checkpoint
from trainer.errors import CheckpointError


def test_last_starts_fresh_where_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=ModelCheckpoint(tmp_path / "none", save_last=True))
    trainer.fit(Model(), loader(), regression_loader(8), ckpt_path="last")
    assert trainer.global_step == 6
    assert "starting fresh" in capsys.readouterr().out


def test_best_without_a_fit_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="needs a fit of this trainer"):
        make_trainer(tmp_path).test(Model(), regression_loader(), ckpt_path="best")


def test_weights_only_checkpoints_are_not_resumed(tmp_path: Path) -> None:
    trainer, model = make_trainer(tmp_path, max_epochs=1), Model()
    trainer.fit(model, loader())
    trainer.save_checkpoint(tmp_path / "w.ckpt", weights_only=True)
    assert "optimizer_states" not in load_checkpoint(tmp_path / "w.ckpt")
    with pytest.raises(CheckpointError, match="holds weights only"):
        make_trainer(tmp_path, max_epochs=2).fit(Model(), loader(), ckpt_path=tmp_path / "w.ckpt")


def test_another_length_inside_an_epoch_is_refused(tmp_path: Path) -> None:
    first = make_trainer(tmp_path, max_steps=3)
    first.fit(Model(), loader())
    first.save_checkpoint(tmp_path / "mid.ckpt")
    with pytest.raises(CheckpointError, match=r"Got 4 .*; expected 6"):
        make_trainer(tmp_path, max_steps=9).fit(
            Model(), regression_loader(16, 4, shuffle=True), ckpt_path=tmp_path / "mid.ckpt"
        )


def test_weights_that_do_not_fit_are_refused_with_their_names(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(LoggingRegression(width=4), loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"(?s)do not fit LoggingRegression.*net\.0\.weight"):
        make_trainer(tmp_path).test(LoggingRegression(width=5), loader(), ckpt_path=tmp_path / "a.ckpt")


def test_the_data_module_keeps_its_state(tmp_path: Path) -> None:
    class Data(L.LightningDataModule):
        seen = 0

        def train_dataloader(self) -> Any:
            self.seen += 1
            return loader()

        def state_dict(self) -> dict[str, Any]:
            return {"seen": self.seen}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.seen = state_dict["seen"]

    first = make_trainer(tmp_path, max_epochs=1)
    first.fit(Model(), datamodule=Data())
    first.save_checkpoint(tmp_path / "d.ckpt")
    data = Data()
    make_trainer(tmp_path, max_epochs=2).fit(Model(), datamodule=data, ckpt_path=tmp_path / "d.ckpt")
    assert data.seen == 2


def test_an_evaluation_restores_callbacks_but_not_what_monitors_count(tmp_path: Path) -> None:
    class Averaging(L.Callback):
        average, loaded = 0.0, False

        def state_dict(self) -> dict[str, float]:
            return {"average": self.average}

        def load_state_dict(self, state_dict: dict[str, float]) -> None:
            self.average = state_dict["average"]

        def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            self.loaded = True

    first = Averaging()
    first.average = 0.75
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=[first, ModelCheckpoint(tmp_path, monitor="val_loss")])
    trainer.fit(LoggingRegression(), regression_loader(8, 4), regression_loader(8, 4))
    second, saving = Averaging(), ModelCheckpoint(tmp_path / "other", monitor="val_loss")
    other = make_trainer(tmp_path, callbacks=[second, saving])
    path = trainer.checkpoint_callback.best_model_path if trainer.checkpoint_callback else ""
    other.test(LoggingRegression(), regression_loader(8, 4), ckpt_path=path, verbose=False)
    assert (second.average, second.loaded) == (0.75, True)
    assert saving.best_model_path == ""
