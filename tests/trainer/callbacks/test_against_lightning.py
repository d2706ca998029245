"""The same run with Lightning's callbacks and with ours, compared value by value; needs lightning 2.6."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import trainer as ours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("lightning", reason="lightning is not installed: nothing to compare with")

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(lightning.__version__ in ("2.6.2", "2.6.3"), reason="these releases were compromised"),
]


@pytest.fixture(autouse=True)
def _quiet_lightning() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    before, logger.level = logger.level, logging.ERROR
    yield
    logger.level = before


def make_model(L: Any, normed: bool = False) -> Any:
    """Return the same small model on either package; it notes weights, rates and validations."""

    class Model(L.LightningModule):  # type: ignore[misc]  # its base is chosen at run time
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(5)
            norm = [nn.BatchNorm1d(4)] if normed else []
            self.backbone = nn.Sequential(nn.Linear(4, 4), *norm, nn.Tanh())
            self.head = nn.Linear(4, 1)
            self.seen: list[float] = []
            self.rates: list[list[float]] = []

        def forward(self, features: Tensor) -> Tensor:
            prediction: Tensor = self.head(self.backbone(features))
            return prediction

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return nn.functional.mse_loss(self(batch[0]), batch[1])

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.seen.append(nn.functional.mse_loss(self(batch[0]), batch[1]).item())

        def on_train_epoch_end(self) -> None:
            self.rates.append([group["lr"] for group in self.trainer.optimizers[0].param_groups])

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
            return optimizer

    return Model()


def fit(L: Any, tmp_path: Path, callbacks: list[Any], *, normed: bool = False, **options: Any) -> Any:
    """Fit the model and return it."""
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(24, 4, generator=generator)
    loader = DataLoader(TensorDataset(features, features.sum(1, keepdim=True)), batch_size=4)
    quiet = {
        "logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
        "accelerator": "cpu", "devices": 1, "default_root_dir": tmp_path, "enable_checkpointing": False,
    }  # fmt: skip
    model = make_model(L, normed)
    L.Trainer(**{"max_epochs": 4, **quiet, **options}, callbacks=callbacks).fit(model, loader, loader)
    return model


def both(tmp_path: Path, name: str, *arguments: Any, options: Any = None, **keywords: Any) -> tuple[Any, Any]:
    """Return the models after the same fit with the callback `name` of Lightning and of ours."""
    theirs = getattr(lightning.pytorch.callbacks, name)(*arguments, **keywords)
    mine = getattr(ours.callbacks, name)(*arguments, **keywords)
    first = fit(lightning.pytorch, tmp_path, [theirs], **(options or {}))
    return first, fit(ours, tmp_path, [mine], **(options or {}))


def assert_same(theirs: Any, mine: Any) -> None:
    for (name, one), (_, other) in zip(theirs.state_dict().items(), mine.state_dict().items(), strict=True):
        torch.testing.assert_close(other, one, msg=name)
    assert mine.seen == pytest.approx(theirs.seen, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [("WeightAveraging", {}), ("WeightAveraging", {"use_buffers": False}),
     ("EMAWeightAveraging", {"decay": 0.8}),
     ("EMAWeightAveraging", {"decay": 0.8, "update_every_n_steps": 4}),
     ("EMAWeightAveraging", {"decay": 0.5, "update_starting_at_step": 2}),
     ("EMAWeightAveraging", {"decay": 0.5, "update_starting_at_epoch": 0, "update_every_n_steps": 5})],
)  # fmt: skip
@pytest.mark.parametrize("window", [1, 2])
def test_averages_are_the_same(tmp_path: Path, name: str, keywords: Any, window: int) -> None:
    options = {"normed": True, "accumulate_grad_batches": window}
    assert_same(*both(tmp_path, name, options=options, **keywords))


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("start", [2, 0.5])
@pytest.mark.parametrize("annealing", [1, 3])
def test_stochastic_averages_are_the_same(tmp_path: Path, strategy: Any, start: float, annealing: int) -> None:
    keywords = {"swa_lrs": 0.01, "swa_epoch_start": start, "annealing_epochs": annealing}
    theirs, mine = both(
        tmp_path, "StochasticWeightAveraging", annealing_strategy=strategy, options={"max_epochs": 6}, **keywords
    )
    assert_same(theirs, mine)
    assert [rate for [rate] in mine.rates] == pytest.approx([rate for [rate] in theirs.rates])


def test_batch_norms_are_renewed_alike(tmp_path: Path) -> None:
    callbacks = [L.callbacks.StochasticWeightAveraging(0.01, 2) for L in (lightning.pytorch, ours)]
    options: dict[str, Any] = {"normed": True, "limit_val_batches": 0}
    theirs = fit(lightning.pytorch, tmp_path, callbacks[:1], **options)
    mine = fit(ours, tmp_path, callbacks[1:], **options)
    # Lightning's pass for the batch norms ends with a step of the optimizer, by the gradients and momentum of the last
    # epoch: its model is no longer the average (2.6.6). The average is compared as it was before.
    expected = {name: p.detach() for name, p in callbacks[0]._average_model.named_parameters()}
    expected |= dict(theirs.named_buffers())
    assert expected.keys() == mine.state_dict().keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(mine.state_dict()[name], tensor, msg=name)


@pytest.mark.parametrize("schedule", [{0: 1, 2: 3}, {1: 2}, {0: 6, 1: 3, 3: 1}])
def test_accumulation_is_the_same_where_windows_are_full(tmp_path: Path, schedule: dict[int, int]) -> None:
    assert_same(*both(tmp_path, "GradientAccumulationScheduler", schedule))


@pytest.mark.parametrize(
    "keywords",
    [{"unfreeze_backbone_at_epoch": 1}, {"unfreeze_backbone_at_epoch": 2, "should_align": False},
     {"unfreeze_backbone_at_epoch": 1, "backbone_initial_lr": 0.02, "lambda_func": lambda epoch: 1.5},
     {"unfreeze_backbone_at_epoch": 1, "backbone_initial_ratio_lr": 0.3}],
)  # fmt: skip
@pytest.mark.parametrize("normed", [False, True])
def test_finetuning_is_the_same(tmp_path: Path, keywords: Any, normed: bool) -> None:
    theirs, mine = both(tmp_path, "BackboneFinetuning", options={"normed": normed, "max_epochs": 5}, **keywords)
    assert_same(theirs, mine)
    assert mine.rates == [pytest.approx(rates) for rates in theirs.rates]


@pytest.mark.parametrize("depth", [-1, 0, 1, 2])
@pytest.mark.parametrize("has_example", [False, True])
def test_summaries_are_the_same(depth: int, has_example: bool) -> None:
    texts = []
    for L, summarize in (
        (lightning.pytorch, lightning.pytorch.utilities.model_summary.summarize),
        (ours, ours.utilities.summarize),
    ):
        model = make_model(L, normed=True)
        model.extra = nn.Parameter(torch.zeros(12345), requires_grad=False)
        model.head.eval()
        if has_example:
            model.example_input_array = torch.zeros(7, 4)
        texts.append(str(summarize(model, max_depth=depth)))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("norm", [1, 2, "inf"])
def test_norms_of_gradients_are_the_same(norm: Any) -> None:
    model = make_model(ours)
    model.training_step((torch.randn(3, 4), torch.randn(3, 1)), 0).backward()
    theirs, mine = lightning.pytorch.utilities.grad_norm(model, norm), ours.utilities.grad_norm(model, norm)
    assert list(mine) == list(theirs)
    assert {k: float(v) for k, v in mine.items()} == pytest.approx({k: float(v) for k, v in theirs.items()})


NAMES = [
    "BackboneFinetuning", "BaseFinetuning", "BasePredictionWriter", "DeviceStatsMonitor", "EMAWeightAveraging",
    "EarlyStopping", "GradientAccumulationScheduler", "LambdaCallback", "LearningRateMonitor", "ModelCheckpoint",
    "ModelSummary", "OnExceptionCheckpoint", "RichModelSummary", "RichProgressBar", "StochasticWeightAveraging",
    "TQDMProgressBar", "ThroughputMonitor", "Timer", "WeightAveraging",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_arguments_have_lightnings_names_order_and_defaults(name: str) -> None:
    def arguments(package: Any) -> list[tuple[str, str, Any]]:
        parameters = inspect.signature(getattr(package, name)).parameters.values()
        # Defaults that are objects of either package cannot be equal.
        own = {"theme", "lambda_func"}
        return [(p.name, p.kind.name, None if p.name in own else getattr(p.default, "value", p.default))
                for p in parameters]  # fmt: skip

    assert arguments(ours.callbacks) == arguments(lightning.pytorch.callbacks)
