"""LightningModule outside and inside a run."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainer as L
from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.errors import MisconfigurationException


def test_a_module_knows_its_device_and_dtype() -> None:
    model = Regression()
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.float32
    assert model.double().dtype == torch.float64
    assert L.LightningModule().device == torch.device("cpu")


def test_freezing_stops_gradients_and_returns_the_module() -> None:
    model = Regression()
    assert model.freeze() is model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training
    assert model.unfreeze() is model
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.training


def test_outside_a_run_there_is_no_trainer() -> None:
    model = Regression()
    assert (model.current_epoch, model.global_step, model.global_rank, model.loggers) == (0, 0, 0, [])
    assert model.logger is None
    with pytest.raises(RuntimeError, match="Regression is not attached to a Trainer"):
        _ = model.trainer


def test_copies_and_pickles_leave_the_trainer_behind(tmp_path: Path) -> None:
    model = Regression()
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(model, regression_loader(8))
    assert model.trainer is trainer
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other._trainer is None
        assert torch.equal(other.first.weight, model.first.weight)


def test_missing_steps_say_what_to_write(tmp_path: Path) -> None:
    class Empty(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    with pytest.raises(MisconfigurationException, match="Empty has no `training_step`"):
        make_trainer(tmp_path, max_epochs=1).fit(Empty(), regression_loader())


def test_no_configure_optimizers_is_refused(tmp_path: Path) -> None:
    class Unoptimised(L.LightningModule):
        def training_step(self, batch: Any, batch_idx: int) -> None: ...

    with pytest.raises(MisconfigurationException, match="Unoptimised has no `configure_optimizers`"):
        make_trainer(tmp_path, max_epochs=1).fit(Unoptimised(), regression_loader())


def test_callbacks_of_the_model_replace_those_of_their_type(tmp_path: Path) -> None:
    class Own(LoggingRegression):
        def configure_callbacks(self) -> Any:
            return L.callbacks.EarlyStopping("val_loss", patience=7)

    stopping = L.callbacks.EarlyStopping("val_loss", patience=1)
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=[stopping])
    trainer.fit(Own(), regression_loader(8), regression_loader(8))
    assert trainer.early_stopping_callback is not None
    assert trainer.early_stopping_callback.patience == 7


def test_configure_model_runs_before_weights_are_loaded(tmp_path: Path) -> None:
    class Late(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.extra: nn.Linear | None = None

        def configure_model(self) -> None:
            if self.extra is None:
                self.extra = nn.Linear(1, 1)

    first, model = make_trainer(tmp_path, max_epochs=1), Late()
    first.fit(model, regression_loader(8))
    first.save_checkpoint(tmp_path / "a.ckpt")
    assert model.extra is not None
    again = Late.load_from_checkpoint(str(tmp_path / "a.ckpt"))
    assert again.extra is not None
    assert torch.equal(again.extra.weight, model.extra.weight)


def test_transfer_hooks_change_the_batch(tmp_path: Path) -> None:
    seen: list[float] = []

    class Transferring(Regression):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return [batch[0] * 0 + 1, batch[1]]

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return [batch[0] * 3, batch[1]]

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            seen.append(batch[0].mean().item())
            return self.loss(batch)

    make_trainer(tmp_path, max_steps=1).fit(Transferring(), regression_loader())
    assert seen == [3.0]


def test_all_gather_is_the_identity_in_one_process(tmp_path: Path) -> None:
    class Gathering(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = self.loss(batch)
            assert id(self.all_gather({"loss": loss})["loss"]) == id(loss)
            with pytest.raises(MisconfigurationException, match="without gradients"):
                self.all_gather(loss, sync_grads=True)
            return loss

    make_trainer(tmp_path, max_steps=1).fit(Gathering(), regression_loader())


def test_print_and_schedulers_are_at_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Printing(Regression):
        def on_train_start(self) -> None:
            self.print("ready", self.lr_schedulers())

    make_trainer(tmp_path, max_epochs=1).fit(Printing(), regression_loader(8))
    assert capsys.readouterr().out == "ready None\n"
