"""Stochastic weight averaging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_data, regression_loader
from trainer.callbacks import LambdaCallback, ModelCheckpoint, StochasticWeightAveraging
from trainer.errors import MisconfigurationException


class Normed(Regression):
    """With a batch norm, and a scheduler that averaging replaces."""

    def __init__(self) -> None:
        super().__init__(dropout=0.2)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, features: Tensor) -> Tensor:
        prediction: Tensor = self.net(self.norm(features * 3 + 1))
        return prediction

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)]


def test_the_weights_of_the_last_epochs_are_averaged(tmp_path: Path) -> None:
    starts: list[Tensor] = []
    rates: list[float] = []

    def note(trainer: Any, module: Any) -> None:
        starts.append(module.first.weight.detach().clone())
        rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    swa = StochasticWeightAveraging(0.01, swa_epoch_start=3, annealing_epochs=2, annealing_strategy="linear")
    model = Regression()
    callbacks = [swa, LambdaCallback(on_train_epoch_start=note)]
    make_trainer(tmp_path, max_epochs=6, callbacks=callbacks).fit(model, regression_loader())
    assert (swa.swa_start, swa.swa_end) == (2, 5)
    assert swa.n_averaged == 4
    torch.testing.assert_close(model.first.weight, torch.stack(starts[2:]).mean(0))
    assert rates == pytest.approx([0.05, 0.05, 0.05, 0.03, 0.01, 0.01])


def test_batch_norms_get_the_statistics_of_the_whole_data(tmp_path: Path) -> None:
    model = Normed()
    trainer = make_trainer(tmp_path, max_epochs=4, callbacks=StochasticWeightAveraging(0.01, 0.5))
    trainer.fit(model, regression_loader(24, 4))
    inputs = regression_data().tensors[0] * 3 + 1
    assert model.norm.running_mean is not None
    assert model.norm.running_var is not None
    torch.testing.assert_close(model.norm.running_mean, inputs.mean(0))
    by_batch = torch.stack([part.var(0) for part in inputs.reshape(6, 4, 4)]).mean(0)
    torch.testing.assert_close(model.norm.running_var, by_batch)
    assert model.norm.momentum == 0.1
    assert trainer.global_step == 24
    assert trainer.callback_metrics["loss_epoch"].item() > 0


@pytest.mark.parametrize("step", [6, 9, 12, 15, 18, 20])
def test_a_resume_is_exact(tmp_path: Path, step: int) -> None:
    def fit(model: Normed, **options: Any) -> None:
        torch.manual_seed(1)
        saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
        swa = StochasticWeightAveraging([0.01], 0.5, annealing_epochs=3)
        trainer = make_trainer(tmp_path, max_epochs=4, callbacks=[swa, saver])
        trainer.fit(model, regression_loader(24, 4, shuffle=True), **options)

    undisturbed, resumed = Normed(), Normed()
    fit(undisturbed)
    fit(resumed, ckpt_path=tmp_path / f"step={step}.ckpt")
    assert_equal_weights(undisturbed, resumed)


def test_another_mean_may_be_given(tmp_path: Path) -> None:
    seen: list[float] = []

    def newest(average: Tensor, parameter: Tensor, number: Tensor) -> Tensor:
        seen.append(number.item())
        return parameter

    swa = StochasticWeightAveraging(0.01, 1, avg_fn=newest, device=None)
    make_trainer(tmp_path, max_epochs=2, callbacks=swa).fit(Regression(), regression_loader())
    assert set(seen) == {1}


def test_a_scheduler_of_steps_is_replaced_with_a_warning(tmp_path: Path) -> None:
    class Stepping(Normed):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
            scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, 0.5, 100)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=StochasticWeightAveraging(0.01, 1))
    with pytest.warns(UserWarning, match="ConstantLR"):
        trainer.fit(Stepping(), regression_loader())


@pytest.mark.parametrize(
    "options",
    [{"swa_lrs": 0.0}, {"swa_lrs": 1}, {"swa_lrs": [0.1, -1.0]}, {"swa_lrs": 0.1, "swa_epoch_start": 0},
     {"swa_lrs": 0.1, "swa_epoch_start": 1.5}, {"swa_lrs": 0.1, "avg_fn": 5}, {"swa_lrs": 0.1, "device": 7}],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(options: Any) -> None:
    with pytest.raises(MisconfigurationException):
        StochasticWeightAveraging(**options)


def test_what_it_cannot_average_is_refused(tmp_path: Path) -> None:
    class Two(Normed):
        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), lr=0.1)] * 2

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return functional.mse_loss(self(batch[0]), batch[1])

    model = Two()
    model.automatic_optimization = False
    trainer = make_trainer(tmp_path, max_epochs=-1, callbacks=StochasticWeightAveraging(0.1))
    with pytest.raises(MisconfigurationException, match=r"2 optimizers.*endless.*batch norms"):
        trainer.fit(model, regression_loader())
