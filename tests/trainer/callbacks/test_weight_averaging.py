"""Averaged weights: in validation, in checkpoints, at the end; and exact over a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainer as L
from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_loader, weights_of
from trainer.callbacks import (
    EMAWeightAveraging,
    LambdaCallback,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    WeightAveraging,
)


class Counter(L.LightningModule):
    """One weight, which is n after n steps; validation notes what it sees."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("total", torch.zeros(1))
        self.seen: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.total.add_(0.5)
        return -self.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(self.weight.item())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fit(tmp_path: Path, callbacks: list[Any], **options: Any) -> Counter:
    """Train for two epochs of five steps, each followed by one batch of validation."""
    model = Counter()
    trainer = make_trainer(tmp_path, callbacks=callbacks, **({"max_epochs": 2, "num_sanity_val_steps": 0} | options))
    trainer.fit(model, regression_loader(10, 2), regression_loader(2, 2))
    return model


def test_by_default_every_step_counts_equally(tmp_path: Path) -> None:
    model = fit(tmp_path, [WeightAveraging()])
    assert model.seen == [3.0, 5.5]  # means of 1..5 and of 1..10
    assert model.weight.item() == 5.5
    assert model.total.item() == pytest.approx(2.75)


def test_buffers_may_be_copied_instead(tmp_path: Path) -> None:
    assert fit(tmp_path, [WeightAveraging(use_buffers=False)]).total.item() == 5.0


def test_an_exponential_average_follows_its_formula(tmp_path: Path) -> None:
    average = 1.0
    for value in range(2, 11):
        average = 0.8 * average + 0.2 * value
    assert fit(tmp_path, [EMAWeightAveraging(decay=0.8)]).weight.item() == pytest.approx(average)


def test_before_there_is_an_average_everybody_sees_the_running_weights(tmp_path: Path) -> None:
    # Lightning 2.6.6 validates the initial weights here: [0.0, 0.0].
    saver = ModelCheckpoint(tmp_path, save_top_k=-1, filename="{step}")
    model = fit(tmp_path, [EMAWeightAveraging(update_starting_at_step=1000), saver])
    assert model.seen == [5.0, 10.0]
    assert model.weight.item() == 10.0
    assert torch.load(tmp_path / "step=5.ckpt", weights_only=True)["state_dict"]["weight"].item() == 5.0


def test_the_average_begins_where_it_is_told_to(tmp_path: Path) -> None:
    model = fit(tmp_path, [EMAWeightAveraging(decay=0.5, update_starting_at_step=7, update_every_n_steps=2)])
    assert model.seen == [5.0, 9.0]  # step 9 (index 8) is the first that is taken, and the only one
    model = fit(tmp_path, [EMAWeightAveraging(decay=0.5, update_every_n_steps=0, update_starting_at_epoch=0)])
    assert model.seen == [5.0, 5.0]
    assert model.weight.item() == 7.5  # half of 5, half of 10


def test_updates_follow_optimizer_steps_not_batches(tmp_path: Path) -> None:
    asked: list[tuple[int | None, int | None]] = []

    class Asking(WeightAveraging):
        def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
            asked.append((step_idx, epoch_idx))
            return epoch_idx is not None

    model = fit(tmp_path, [Asking()], max_epochs=1, accumulate_grad_batches=2)
    assert asked == [(0, None), (1, None), (2, None), (None, 0)]
    assert model.weight.item() == 3.0


@pytest.mark.parametrize("weights_only", [False, True])
def test_checkpoints_hold_the_average_as_the_weights(tmp_path: Path, weights_only: bool) -> None:
    saver = ModelCheckpoint(tmp_path, save_top_k=-1, filename="{step}", save_weights_only=weights_only)
    fit(tmp_path, [WeightAveraging(), saver])
    path = tmp_path / "step=5.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["state_dict"]["weight"].item() == 3.0
    assert Counter.load_from_checkpoint(path).weight.item() == 3.0
    if weights_only:
        assert "current_model_state" not in checkpoint
    else:
        assert checkpoint["current_model_state"]["weight"].item() == 5.0
        assert checkpoint["averaging_state"]["n_averaged"].item() == 5
    model = Counter()
    make_trainer(tmp_path, callbacks=WeightAveraging()).validate(
        model, regression_loader(2, 2), ckpt_path=path, verbose=False
    )
    assert model.seen == [3.0]


@pytest.mark.parametrize("step", [2, 6, 8])
@pytest.mark.parametrize("start", [0, 7])
def test_a_resume_is_exact(tmp_path: Path, step: int, start: int) -> None:
    def run(model: Regression, folder: str, **options: Any) -> None:
        torch.manual_seed(1)
        saver = ModelCheckpoint(tmp_path / folder, "{step}", every_n_train_steps=1, save_top_k=-1)
        averaging = EMAWeightAveraging(decay=0.7, update_starting_at_step=start)
        trainer = make_trainer(tmp_path, max_epochs=2, callbacks=[averaging, saver])
        trainer.fit(model, regression_loader(24, 4, shuffle=True), **options)

    undisturbed, resumed = Regression(dropout=0.5), Regression(dropout=0.5)
    run(undisturbed, "one")
    run(resumed, "other", ckpt_path=tmp_path / "one" / f"step={step}.ckpt")
    assert_equal_weights(undisturbed, resumed)
    last = [torch.load(tmp_path / name / "step=12.ckpt", weights_only=True) for name in ("one", "other")]
    assert_equal_weights(last[0]["current_model_state"], last[1]["current_model_state"])


def test_a_failure_in_validation_saves_and_leaves_the_running_weights(tmp_path: Path) -> None:
    class Failing(Counter):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            assert self.weight.item() == 3.0
            raise ZeroDivisionError

    model = Failing()
    callbacks = [WeightAveraging(), OnExceptionCheckpoint(tmp_path)]
    trainer = make_trainer(tmp_path, callbacks=callbacks, enable_checkpointing=True, num_sanity_val_steps=0)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(model, regression_loader(10, 2), regression_loader(2, 2))
    assert model.weight.item() == 5.0
    checkpoint = torch.load(tmp_path / "on_exception.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["weight"].item() == 3.0
    assert checkpoint["current_model_state"]["weight"].item() == 5.0


@pytest.mark.parametrize("weights_only", [False, True])
def test_a_checkpoint_from_inside_validation_has_the_average_too(tmp_path: Path, weights_only: bool) -> None:
    def save(trainer: Any, *arguments: Any) -> None:
        trainer.save_checkpoint(tmp_path / "inside.ckpt", weights_only=weights_only)

    fit(tmp_path, [WeightAveraging(), LambdaCallback(on_validation_batch_end=save)], max_epochs=1)
    checkpoint = torch.load(tmp_path / "inside.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["weight"].item() == 3.0
    if not weights_only:
        assert checkpoint["current_model_state"]["weight"].item() == 5.0


def test_a_checkpoint_without_an_average_starts_one(tmp_path: Path) -> None:
    fit(tmp_path, [ModelCheckpoint(tmp_path, save_top_k=-1, filename="{step}")], max_epochs=1)
    model, trainer = Counter(), make_trainer(tmp_path, max_epochs=2, callbacks=WeightAveraging())
    with pytest.warns(UserWarning, match="without WeightAveraging"):
        trainer.fit(model, regression_loader(10, 2), ckpt_path=tmp_path / "step=5.ckpt")
    assert model.weight.item() == 8.0  # the mean of 6..10


def test_a_model_built_late_is_averaged_whole(tmp_path: Path) -> None:
    class Late(Regression):
        def configure_model(self) -> None:
            if not hasattr(self, "late"):
                self.late = nn.Linear(1, 1)

        def forward(self, features: Tensor) -> Tensor:
            result: Tensor = self.late(super().forward(features))
            return result

    model, averaging = Late(), WeightAveraging()
    make_trainer(tmp_path, max_epochs=1, callbacks=averaging).fit(model, regression_loader())
    assert averaging._average_model is not None
    assert_equal_weights(model, weights_of(averaging._average_model.module))


def test_a_decay_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="decay"):
        EMAWeightAveraging(decay=1.5)
