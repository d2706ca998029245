"""Parts of a model that are trained later than others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_loader, weights_of
from trainer.callbacks import BackboneFinetuning, BaseFinetuning, LambdaCallback, ModelCheckpoint
from trainer.errors import MisconfigurationException


class Transfer(Regression):
    """A backbone and a head; the optimizer takes what is not frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(self.net[0], nn.BatchNorm1d(6), nn.Tanh())
        self.head = self.net[3]
        del self.net

    def forward(self, features: Tensor) -> Tensor:
        prediction: Tensor = self.head(self.backbone(features))
        return prediction

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=self.lr)


class ByEpoch(BaseFinetuning):
    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.backbone, train_bn=False)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.backbone[0], optimizer)
        if epoch == 2:
            self.unfreeze_and_add_param_group(pl_module.backbone[1], optimizer, lr=0.001)


def groups_of(trainer: Any) -> list[tuple[float, int]]:
    return [(round(group["lr"], 6), len(group["params"])) for group in trainer.optimizers[0].param_groups]


def test_parts_are_frozen_until_their_epoch(tmp_path: Path) -> None:
    seen: list[Any] = []
    model = Transfer()
    start = weights_of(model)
    moved: list[list[str]] = []

    def note(trainer: Any, module: Any) -> None:
        seen.append(groups_of(trainer))
        moved.append([n for n, p in module.named_parameters() if not torch.equal(p, start[n])])

    trainer = make_trainer(tmp_path, max_epochs=3, callbacks=[ByEpoch(), LambdaCallback(on_train_epoch_end=note)])
    trainer.fit(model, regression_loader())
    first = [(0.05, 2)]
    assert seen == [first, [*first, (0.005, 2)], [*first, (0.005, 2), (0.001, 2)]]
    head, linear, norm = (
        ["head.weight", "head.bias"],
        ["backbone.0.weight", "backbone.0.bias"],
        ["backbone.1.weight", "backbone.1.bias"],
    )
    assert [sorted(names) for names in moved] == [
        sorted(head),
        sorted(head + linear),
        sorted(head + linear + norm),
    ]


@pytest.mark.parametrize("step", [3, 6, 9, 12, 15])
def test_a_resume_is_exact(tmp_path: Path, step: int) -> None:
    def fit(model: Transfer, **options: Any) -> Any:
        saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
        callbacks = [ByEpoch(), saver]
        trainer = make_trainer(tmp_path, max_epochs=3, callbacks=callbacks)
        trainer.fit(model, regression_loader(), **options)
        return trainer

    undisturbed, resumed = Transfer(), Transfer()
    whole = fit(undisturbed)
    again = fit(resumed, ckpt_path=tmp_path / f"step={step}.ckpt")
    assert_equal_weights(undisturbed, resumed)
    assert groups_of(whole) == groups_of(again)


def test_the_backbone_gets_its_own_rising_rate(tmp_path: Path) -> None:
    rates: list[list[float]] = []

    def note(trainer: Any, *rest: Any) -> None:
        rates.append([round(group["lr"], 6) for group in trainer.optimizers[0].param_groups])

    tuning = BackboneFinetuning(unfreeze_backbone_at_epoch=1, lambda_func=lambda epoch: 3.0)
    callbacks = [tuning, LambdaCallback(on_train_epoch_end=note)]
    make_trainer(tmp_path, max_epochs=5, callbacks=callbacks).fit(Transfer(), regression_loader())
    # A tenth of 0.05, times three, times three, and no more than 0.05.
    assert rates == [[0.05], [0.05, 0.005], [0.05, 0.015], [0.05, 0.045], [0.05, 0.05]]
    assert tuning.state_dict()["previous_backbone_lr"] == pytest.approx(0.05)


def test_it_may_rise_further_and_start_elsewhere_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuning = BackboneFinetuning(1, lambda epoch: float(epoch), backbone_initial_lr=0.03, should_align=False,
                                verbose=True)  # fmt: skip
    make_trainer(tmp_path, max_epochs=3, callbacks=tuning).fit(Transfer(), regression_loader())
    assert tuning.previous_backbone_lr == pytest.approx(0.09)
    assert capsys.readouterr().out.splitlines() == [
        "Current lr: 0.05, Backbone lr: 0.03",
        "Current lr: 0.05, Backbone lr: 0.09",
    ]


def test_batch_norms_train_while_the_rest_is_frozen() -> None:
    model = Transfer()
    BaseFinetuning.freeze(model.backbone)
    assert [name for name, p in model.backbone.named_parameters() if p.requires_grad] == ["1.weight", "1.bias"]
    BaseFinetuning.freeze([model.backbone, [model.head]], train_bn=False)
    assert not any(p.requires_grad for p in model.parameters())
    assert isinstance(model.backbone[1], nn.BatchNorm1d)
    assert model.backbone[1].track_running_stats is False
    assert len(list(BaseFinetuning.filter_params(model, train_bn=False, requires_grad=False))) == 4
    BaseFinetuning.make_trainable(nn.ModuleDict({"one": model.backbone}))
    assert model.backbone[1].track_running_stats is True


def test_modules_that_hold_parameters_and_children_are_kept() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Parameter(torch.zeros(1))
            self.inner = nn.Sequential(nn.Linear(1, 1), nn.ReLU())

    flat = BaseFinetuning.flatten_modules(Both())
    assert [type(module).__name__ for module in flat] == ["Both", "Linear", "ReLU"]


def test_what_the_optimizer_has_is_left_with_a_warning() -> None:
    one, other = nn.Linear(1, 1), nn.Linear(1, 1)
    other.load_state_dict(one.state_dict())  # equal values are not the same parameters
    optimizer = torch.optim.SGD(one.parameters(), lr=1.0)
    with pytest.warns(UserWarning, match="2 of 4 parameters"):
        BaseFinetuning.unfreeze_and_add_param_group([one, other], optimizer, initial_denom_lr=4.0)
    assert [(group["lr"], len(group["params"])) for group in optimizer.param_groups] == [(1.0, 2), (0.25, 2)]


def test_a_model_without_a_backbone_is_refused(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, callbacks=BackboneFinetuning())
    with pytest.raises(MisconfigurationException, match=r"Regression\.backbone"):
        trainer.fit(Regression(), regression_loader())


def test_methods_have_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="freeze_before_training"):
        make_trainer(tmp_path, callbacks=BaseFinetuning()).fit(Regression(), regression_loader())
