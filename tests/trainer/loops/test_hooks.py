"""The order of all hooks, as in Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainer as L
from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.callback import Callback
from trainer.loops.hooks import is_overridden
from trainer.module import LightningModule

MODULE_HOOKS = [
    "configure_callbacks", "prepare_data", "setup", "configure_model", "configure_optimizers", "on_fit_start",
    "on_fit_end", "on_train_start", "on_train_end", "on_train_epoch_start", "on_train_epoch_end",
    "on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer", "on_train_batch_start",
    "on_train_batch_end", "training_step", "validation_step", "on_before_zero_grad", "optimizer_zero_grad",
    "on_before_backward", "backward", "on_after_backward", "on_before_optimizer_step", "configure_gradient_clipping",
    "optimizer_step", "lr_scheduler_step", "on_validation_model_zero_grad", "on_validation_model_eval",
    "on_validation_model_train", "on_test_model_eval", "on_test_model_train", "on_predict_model_eval",
    "on_predict_model_train", "on_validation_start", "on_validation_end", "on_validation_epoch_start",
    "on_validation_epoch_end", "on_validation_batch_start", "on_validation_batch_end", "train_dataloader",
    "val_dataloader", "teardown", "on_save_checkpoint", "on_load_checkpoint", "on_test_start", "on_test_epoch_start",
    "on_test_batch_start", "test_step", "on_test_batch_end", "on_test_epoch_end", "on_test_end", "on_predict_start",
    "on_predict_epoch_start", "on_predict_batch_start", "predict_step", "on_predict_batch_end",
    "on_predict_epoch_end", "on_predict_end",
]  # fmt: skip


def record(called: list[str], name: str, inner: Any, prefix: str = "") -> Any:
    def recorded(*args: Any, **kwargs: Any) -> Any:
        called.append(prefix + name)
        return inner(*args, **kwargs)

    return recorded


def watched_model(called: list[str]) -> LightningModule:
    """Return a model whose hooks all write down their name before they do their work."""

    def configure(self: Any) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    model = LoggingRegression()
    model.configure_optimizers = configure.__get__(model)  # type: ignore[method-assign]
    model.train_dataloader = lambda: regression_loader(8, 4)  # type: ignore[method-assign]
    model.val_dataloader = lambda: regression_loader(8, 4)  # type: ignore[method-assign]
    for name in MODULE_HOOKS:
        setattr(model, name, record(called, name, getattr(model, name)))
    return model


def watched_callback(called: list[str]) -> Callback:
    callback = Callback()
    for name in dir(Callback):
        if name.startswith("on_") or name in ("setup", "teardown"):
            setattr(callback, name, record(called, name, getattr(callback, name), "Callback."))
    callback.state_dict = record(called, "state_dict", lambda: {"foo": True}, "Callback.")  # type: ignore[method-assign]
    return callback


def both(name: str) -> list[str]:
    return [f"Callback.{name}", name]


TRANSFER = ["on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"]


def train_batch(is_last: bool) -> list[str]:
    return [
        *TRANSFER,
        *both("on_train_batch_start"),
        "optimizer_step",  # written, so it is called with the closure and what follows happens inside it
        "training_step",
        *both("on_before_zero_grad"),
        "optimizer_zero_grad",
        *both("on_before_backward"),
        "backward",
        *both("on_after_backward"),
        *both("on_before_optimizer_step"),
        "configure_gradient_clipping",
        *(["lr_scheduler_step"] if is_last else []),
        *both("on_train_batch_end"),
    ]


def eval_run(kind: str) -> list[str]:
    batch = [
        *TRANSFER,
        *both(f"on_{kind}_batch_start"),
        f"{kind}_step",
        *both(f"on_{kind}_batch_end"),
    ]
    return [
        f"on_{kind}_model_eval",
        *both(f"on_{kind}_start"),
        *both(f"on_{kind}_epoch_start"),
        *batch,
        *batch,
        *both(f"on_{kind}_epoch_end"),
        *both(f"on_{kind}_end"),
        f"on_{kind}_model_train",
    ]


def test_the_hooks_of_a_fit_with_validation_run_in_lightnings_order(tmp_path: Path) -> None:
    called: list[str] = []
    saver = L.callbacks.ModelCheckpoint(tmp_path / "saved")
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=[watched_callback(called), saver])
    trainer.fit(watched_model(called))
    assert called == [
        "configure_callbacks",
        "prepare_data",
        *both("setup"),
        "configure_model",
        "configure_optimizers",
        *both("on_fit_start"),
        "Callback.on_sanity_check_start",
        "val_dataloader",
        *eval_run("validation"),
        "Callback.on_sanity_check_end",
        "train_dataloader",
        *both("on_train_start"),
        *both("on_train_epoch_start"),
        *train_batch(is_last=False),
        *train_batch(is_last=True),
        "on_validation_model_zero_grad",
        *eval_run("validation"),
        *both("on_train_epoch_end"),
        "Callback.state_dict",
        *both("on_save_checkpoint"),
        *both("on_train_end"),
        *both("on_fit_end"),
        *both("teardown"),
    ]


def test_the_hooks_of_a_resumed_fit_load_after_the_model_is_built(tmp_path: Path) -> None:
    first = make_trainer(tmp_path, max_epochs=1)
    first.fit(watched_model([]))
    first.save_checkpoint(tmp_path / "one.ckpt")
    called: list[str] = []
    make_trainer(tmp_path, max_epochs=1, callbacks=watched_callback(called)).fit(
        watched_model(called), ckpt_path=tmp_path / "one.ckpt"
    )
    assert called == [
        "configure_callbacks",
        "prepare_data",
        *both("setup"),
        "configure_model",
        "on_load_checkpoint",
        "Callback.on_load_checkpoint",
        "configure_optimizers",
        *both("on_fit_start"),
        "train_dataloader",
        "val_dataloader",
        *both("on_fit_end"),
        *both("teardown"),
    ]


@pytest.mark.parametrize(("verb", "kind"), [("validate", "validation"), ("test", "test"), ("predict", "predict")])
def test_the_hooks_of_evaluation_run_in_lightnings_order(tmp_path: Path, verb: str, kind: str) -> None:
    called: list[str] = []
    trainer = make_trainer(tmp_path, callbacks=watched_callback(called))
    getattr(trainer, verb)(watched_model(called), regression_loader(8, 4))
    assert called == [
        "configure_callbacks",
        "prepare_data",
        *both("setup"),
        "configure_model",
        *eval_run(kind),
        *both("teardown"),
    ]


def test_the_hooks_of_manual_optimisation_surround_backward_and_step(tmp_path: Path) -> None:
    called: list[str] = []

    class Manual(LoggingRegression):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            loss = self.loss(batch)
            self.manual_backward(loss)
            optimizer.step()
            called.append("end of training_step")
            return loss

    trainer = make_trainer(tmp_path, max_steps=1, callbacks=watched_callback(called))
    trainer.fit(Manual(), regression_loader(8, 4))
    start = called.index("Callback.on_train_batch_start")
    assert called[start : start + 6] == [
        "Callback.on_train_batch_start",
        "Callback.on_before_backward",
        "Callback.on_after_backward",
        "Callback.on_before_optimizer_step",
        "end of training_step",
        "Callback.on_train_batch_end",
    ]


def test_only_what_was_written_counts_as_overridden() -> None:
    class Mine(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...

    mine, plain = Mine(), Callback()
    assert is_overridden("on_train_start", mine, Callback)
    assert not is_overridden("on_train_end", mine, Callback)
    assert not is_overridden("on_train_start", plain, Callback)
    plain.on_train_start = lambda trainer, pl_module: None  # type: ignore[method-assign]
    assert is_overridden("on_train_start", plain, Callback)


def test_returning_minus_one_skips_the_rest_of_the_epoch(tmp_path: Path) -> None:
    class Skipping(LoggingRegression):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 2 else None

    trainer = make_trainer(tmp_path, max_epochs=3)
    trainer.fit(Skipping(), regression_loader(24, 4))
    assert trainer.global_step == 6
    assert trainer.current_epoch == 3


def test_an_exception_reaches_the_callbacks_and_the_teardown_and_is_raised_again(tmp_path: Path) -> None:
    class Broken(LoggingRegression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            raise ZeroDivisionError("no such luck")

    called: list[str] = []
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=watched_callback(called))
    with pytest.raises(ZeroDivisionError, match="no such luck"):
        trainer.fit(Broken(), regression_loader())
    assert called[-2:] == ["Callback.on_exception", "Callback.teardown"]
    assert trainer.interrupted
    trainer.fit(LoggingRegression(), regression_loader())
    assert not trainer.interrupted


def test_keyboard_interrupt_is_raised_again_after_the_teardown(tmp_path: Path) -> None:
    class Interrupted(LoggingRegression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            raise KeyboardInterrupt

    called: list[str] = []
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=watched_callback(called))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(Interrupted(), regression_loader())
    assert called[-2:] == ["Callback.on_exception", "Callback.teardown"]
