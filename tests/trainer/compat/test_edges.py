"""What Lightning 2.6.6 does at the edges of arguments, runs and logging, seen by running the same there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import trainer as L
from tests.trainer.compat.edges import loader, short
from tests.trainer.models import make_trainer
from trainer.demos.boring_classes import BoringDataModule, BoringModel
from trainer.errors import MisconfigurationException
from trainer.loggers.logger import DummyLogger
from trainer.loops.state import TrainerFn

# Arguments


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"barebones": True, "logger": True}, ValueError),
        ({"barebones": True, "enable_progress_bar": True}, ValueError),
        ({"barebones": True, "profiler": "simple"}, ValueError),
        ({"barebones": True, "fast_dev_run": True}, ValueError),
        ({"barebones": True, "log_every_n_steps": 5}, ValueError),
        ({"check_val_every_n_epoch": 1.5}, MisconfigurationException),
        ({"reload_dataloaders_every_n_epochs": None}, MisconfigurationException),
        ({"reload_dataloaders_every_n_epochs": 1.5}, MisconfigurationException),
        ({"callbacks": [L.callbacks.Timer(), L.callbacks.Timer()]}, RuntimeError),
        ({"callbacks": [L.callbacks.EarlyStopping("a"), L.callbacks.EarlyStopping("a")]}, RuntimeError),
        ({"default_root_dir": 5}, TypeError),
    ],
)
def test_impossible_arguments_raise_lightnings_types(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        L.Trainer(accelerator="cpu", **options)


def test_some_arguments_may_be_set_later(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.limit_val_batches, trainer.num_sanity_val_steps, trainer.gradient_clip_val = 2, 0, 0.5
    trainer.limit_train_batches, trainer.log_every_n_steps, trainer.check_val_every_n_epoch = 3, 7, 2
    assert (trainer.limit_val_batches, trainer.num_sanity_val_steps, trainer.gradient_clip_val) == (2, 0, 0.5)
    assert (trainer.limit_train_batches, trainer.log_every_n_steps, trainer.check_val_every_n_epoch) == (3, 7, 2)
    with pytest.raises(MisconfigurationException):
        trainer.limit_val_batches = -1
    trainer.logger = DummyLogger()
    assert len(trainer.loggers) == 1
    trainer.logger = None
    assert trainer.loggers == []
    trainer.training = True
    assert trainer.training
    trainer.training = False
    assert not trainer.training


def test_a_trial_run_keeps_callbacks_and_logs_to_nobody(tmp_path: Path) -> None:
    callbacks = [L.callbacks.LearningRateMonitor(), L.callbacks.EarlyStopping("x"), L.callbacks.ModelCheckpoint()]
    trainer = make_trainer(tmp_path, fast_dev_run=True, logger=True, callbacks=callbacks)
    assert [type(callback) for callback in trainer.callbacks] == [type(callback) for callback in callbacks]
    assert isinstance(trainer.logger, DummyLogger)
    assert trainer.num_sanity_val_steps == 0
    trainer.fit(BoringModel())
    assert list(tmp_path.rglob("*.ckpt")) == []
    assert make_trainer(tmp_path, fast_dev_run=True, logger=False).loggers == []


# Runs


@pytest.mark.parametrize("model", [None, 5, nn.Linear(2, 2)])
@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_other_things_than_modules_are_type_errors(tmp_path: Path, stage: str, model: Any) -> None:
    with pytest.raises(TypeError):
        getattr(make_trainer(tmp_path), stage)(model, loader())


def without(name: str) -> BoringModel:
    return type("Without", (BoringModel,), {name: getattr(L.LightningModule, name)})()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("stage", "name"),
    [("fit", "training_step"), ("fit", "configure_optimizers"), ("fit", "train_dataloader"),
     ("validate", "validation_step"), ("test", "test_step"), ("test", "test_dataloader")],
)  # fmt: skip
def test_what_a_stage_needs(tmp_path: Path, stage: str, name: str) -> None:
    with pytest.raises(MisconfigurationException, match=name):
        getattr(short(tmp_path), stage)(without(name))


@pytest.mark.parametrize(("stage", "hook"), [("fit", "training_epoch_end"), ("test", "test_epoch_end")])
def test_removed_hooks_are_pointed_out(tmp_path: Path, stage: str, hook: str) -> None:
    model = BoringModel()
    setattr(model, hook, lambda outputs: None)
    with pytest.raises(NotImplementedError, match=hook):
        getattr(short(tmp_path), stage)(model)


def test_steps_take_the_arguments_they_are_called_with(tmp_path: Path) -> None:
    class Old(BoringModel):
        def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int = 0) -> Any:
            return self.step(batch)

    class Needy(BoringModel):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any: ...  # type: ignore[override]

    with pytest.raises(RuntimeError, match="optimizer_idx"):
        short(tmp_path).fit(Old())
    with pytest.raises(RuntimeError, match="dataloader_idx"):
        short(tmp_path).validate(Needy(), verbose=False)
    with pytest.raises(RuntimeError, match="dataloader_idx"):
        short(tmp_path).validate(BoringModel(), [loader(), loader()], verbose=False)


@pytest.mark.parametrize("given", [5, object()])
def test_loaders_that_are_none_are_type_errors(tmp_path: Path, given: Any) -> None:
    with pytest.raises(TypeError):
        short(tmp_path).fit(BoringModel(), given)
    with pytest.raises(TypeError):
        short(tmp_path).test(BoringModel(), given)
    model = BoringModel()
    model.val_dataloader = lambda: None  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(TypeError, match="val_dataloader"):
        short(tmp_path).fit(model)


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
@pytest.mark.parametrize(("path", "error"), [("best", ValueError), ("none.ckpt", FileNotFoundError)])
def test_missing_checkpoints(tmp_path: Path, stage: str, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        getattr(short(tmp_path), stage)(BoringModel(), ckpt_path=path)


def test_an_evaluation_without_a_model_wants_the_best_checkpoint(tmp_path: Path) -> None:
    trainer = short(tmp_path)
    trainer.fit(BoringModel())
    with pytest.raises(ValueError, match="best"):
        trainer.test(verbose=False)


def test_the_state_after_a_run(tmp_path: Path) -> None:
    trainer = short(tmp_path, max_epochs=2, limit_train_batches=3)
    trainer.fit(BoringModel())
    assert trainer.state.fn == str(TrainerFn.FITTING)
    assert (trainer.state.finished, trainer.state.stopped, trainer.state.stage) == (True, True, None)
    loop = trainer.fit_loop.epoch_loop
    assert (loop.batch_idx, loop.total_batch_idx) == (2, 5)
    assert (loop.batch_progress.current.ready, loop.batch_progress.total.completed) == (3, 6)
    trainer.validate(BoringModel(), verbose=False)
    assert trainer.state.fn == str(TrainerFn.VALIDATING)
    assert (trainer.current_epoch, trainer.global_step) == (2, 6)
    assert make_trainer(tmp_path, limit_predict_batches=0).predict(BoringModel()) is None


def test_setup_and_teardown_hear_of_the_stage_by_name(tmp_path: Path) -> None:
    heard: list[str] = []

    class Data(BoringDataModule):
        def setup(self, *, stage: str) -> None:  # type: ignore[override]  # as some users write it
            super().setup(stage)
            heard.append(stage)

        def teardown(self, *, stage: str) -> None:  # type: ignore[override]
            heard.append(stage)

    short(tmp_path).fit(BoringModel(), datamodule=Data())
    assert heard == ["fit", "fit"]


# Logging


class Logging(BoringModel):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("both", float(batch_idx), on_step=True, on_epoch=True, prog_bar=True)
        return self.step(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("val", float(batch_idx), on_step=True, on_epoch=True)


def test_which_names_are_where_and_when(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    class Reading(Logging):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            trainer = self.trainer
            seen.append(sorted(trainer.callback_metrics))
            seen.append(sorted(trainer.logged_metrics))
            seen.append(sorted(trainer.progress_bar_metrics))

        def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            seen.append(sorted(self.trainer.callback_metrics))
            seen.append(sorted(self.trainer.logged_metrics))

    trainer = short(tmp_path, limit_train_batches=1, num_sanity_val_steps=0)
    trainer.fit(Reading())
    assert seen == [
        ["both", "both_step"], ["both_step"], ["both_step"], ["both", "both_step"], ["both_step", "val_step"],
    ]  # fmt: skip
    assert sorted(trainer.callback_metrics) == ["both", "both_epoch", "both_step", "val", "val_epoch"]
    assert sorted(trainer.logged_metrics) == ["both_epoch", "both_step", "val_epoch", "val_step"]
    assert sorted(trainer.progress_bar_metrics) == ["both_epoch", "both_step"]


@pytest.mark.parametrize("hook", ["on_train_end", "on_validation_end", "on_fit_start", "on_fit_end"])
def test_hooks_where_nothing_can_be_logged(tmp_path: Path, hook: str) -> None:
    model = BoringModel()
    setattr(model, hook, lambda: model.log("x", 1.0))
    with pytest.raises(MisconfigurationException):
        short(tmp_path).fit(model)


@pytest.mark.parametrize("hook", ["on_train_epoch_end", "on_validation_epoch_end", "on_train_start"])
def test_values_that_would_never_be_shown(tmp_path: Path, hook: str) -> None:
    model = BoringModel()
    setattr(model, hook, lambda: model.log("x", 1.0, on_epoch=False))
    with pytest.raises(MisconfigurationException):
        short(tmp_path).fit(model)


def test_predictions_have_no_metrics(tmp_path: Path) -> None:
    model = BoringModel()
    setattr(model, "predict_step", lambda batch, batch_idx: model.log("x", 1.0))  # noqa: B010
    with pytest.raises(MisconfigurationException):
        short(tmp_path).predict(model)
