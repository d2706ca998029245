"""The search for a learning rate: its numbers, and that it leaves no trace."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import trainer as L
from tests.trainer.models import (
    LoggingRegression,
    Regression,
    assert_equal_weights,
    make_trainer,
    regression_data,
    regression_loader,
    weights_of,
)
from trainer.callbacks import LearningRateFinder
from trainer.errors import MisconfigurationException
from trainer.loggers import CSVLogger
from trainer.tuner import Tuner
from trainer.tuner.lr_finder import LRFinder


class WithAdam(LoggingRegression):
    """Dropout, Adam and a warm-up: much that a search could leave behind."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=4)]


def shuffled() -> DataLoader[Any]:
    return DataLoader(regression_data(), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(5))


def search(tmp_path: Path, model: Regression, **options: Any) -> LRFinder:
    found = Tuner(make_trainer(tmp_path, max_epochs=2)).lr_find(model, regression_loader(), **options)
    assert found is not None
    return found


@pytest.mark.parametrize("mode", ["exponential", "linear"])
def test_rates_and_losses_are_lightnings(tmp_path: Path, mode: str) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    tuner = pytest.importorskip("lightning.pytorch.tuner")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Theirs(lightning.LightningModule):  # type: ignore[misc,name-defined]  # it may be missing
        def __init__(self) -> None:
            super().__init__()
            self.net, self.lr = copy.deepcopy(Regression().net), 0.05

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    options: Any = {"min_lr": 1e-4, "max_lr": 2.0, "num_training": 40, "mode": mode}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs_trainer = lightning.Trainer(
            accelerator="cpu", devices=1, max_epochs=1000, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        theirs_model = Theirs()
        theirs = tuner.Tuner(theirs_trainer).lr_find(theirs_model, regression_loader(), **options)
    model = Regression()
    ours = search(tmp_path, model, **options)
    assert ours.results["lr"] == pytest.approx(theirs.results["lr"], rel=1e-9)
    assert ours.results["loss"] == pytest.approx(theirs.results["loss"], rel=1e-5)
    assert ours.suggestion() == pytest.approx(theirs.suggestion())
    assert model.lr == pytest.approx(theirs_model.lr)


def test_the_rates_by_hand() -> None:
    finder = LRFinder("exponential", 1e-4, 1.0, 4)
    assert [finder.rate(step) for step in range(4)] == pytest.approx([1e-4, 1e-2, 1e-1, 1.0])
    assert [LRFinder("linear", 0.0, 1.0, 4).rate(step) for step in range(4)] == [0.0, 0.5, 0.75, 1.0]


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    finder = LRFinder("linear", 0.0, 1.0, 8)
    finder.results = {
        "lr": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        "loss": [9.0, 9.0, 8.0, 2.0, 1.0, float("nan"), 1.0, 9.0],
    }
    # Slopes over the points from 0.2 to 0.7, by central differences: steepest at 0.3, (2 - 9) / 0.2.
    assert finder.suggestion(skip_begin=1, skip_end=1) == 0.3
    assert finder.suggestion() is None


def test_a_search_leaves_no_trace(tmp_path: Path) -> None:
    def fit(*callbacks: L.Callback) -> tuple[L.Trainer, WithAdam]:
        torch.manual_seed(11)
        model = WithAdam(dropout=0.5)
        trainer = make_trainer(tmp_path, max_epochs=3, callbacks=list(callbacks))
        trainer.fit(model, shuffled(), regression_loader())
        return trainer, model

    plain_trainer, plain = fit()
    searched_trainer, searched = fit(LearningRateFinder(num_training_steps=30, update_attr=False))
    assert_equal_weights(plain, searched)
    assert searched_trainer.global_step == plain_trainer.global_step == 18
    assert searched_trainer.callback_metrics == plain_trainer.callback_metrics


def test_a_search_in_the_middle_of_a_fit_leaves_no_trace(tmp_path: Path) -> None:
    class Later(LearningRateFinder):
        def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            pass

        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                self.lr_find(trainer, pl_module)

    results = []
    for callbacks in ([], [Later(num_training_steps=20, update_attr=False)]):
        torch.manual_seed(11)
        model = WithAdam(dropout=0.5)
        make_trainer(tmp_path, max_epochs=3, callbacks=callbacks).fit(model, shuffled(), regression_loader())
        results.append(weights_of(model))
    assert_equal_weights(*results)


def test_a_search_that_fails_leaves_no_trace_either(tmp_path: Path) -> None:
    class Failing(Regression):
        fails = True

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            if self.fails and batch_idx == 3:
                raise RuntimeError("on purpose")
            return super().training_step(batch, batch_idx)

    model = Failing()
    before, trainer = weights_of(model), make_trainer(tmp_path, max_epochs=1)
    with pytest.raises(RuntimeError, match="on purpose"):
        Tuner(trainer).lr_find(model, regression_loader())
    assert_equal_weights(model, before)
    assert trainer.callbacks == []
    model.fails = False
    trainer.fit(model, regression_loader())
    assert trainer.global_step == 6


def test_the_rate_goes_to_model_optimizer_and_scheduler(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []

    class Watch(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            group = trainer.optimizers[0].param_groups[0]
            seen.append((group["lr"], trainer.lr_scheduler_configs[0].scheduler.base_lrs[0]))

    model, finder = WithAdam(), LearningRateFinder(num_training_steps=30)
    make_trainer(tmp_path, max_epochs=1, callbacks=[finder, Watch()]).fit(model, regression_loader())
    assert finder.optimal_lr is not None
    suggestion = finder.optimal_lr.suggestion()
    assert model.lr == suggestion
    assert suggestion is not None
    assert seen[0] == pytest.approx((0.5 * suggestion, suggestion))  # the warm-up begins with half


def test_where_the_rate_is_kept(tmp_path: Path) -> None:
    class Other(Regression):
        def __init__(self) -> None:
            super().__init__()
            del self.lr
            del self.hparams["lr"]
            self.my_rate = 0.1

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.my_rate)

    with pytest.raises(AttributeError, match="no lr or learning_rate"):
        search(tmp_path, Other())
    model = Other()
    assert search(tmp_path, model, attr_name="my_rate").suggestion() == model.my_rate
    both = Regression()
    search(tmp_path, both)
    assert both.hparams.lr == both.lr != 0.05
    unset = Regression()
    search(tmp_path, unset, update_attr=False)
    assert unset.lr == 0.05


def test_early_stopping_and_its_absence(tmp_path: Path) -> None:
    stopped = search(tmp_path, Regression(), max_lr=1e6, num_training=60)
    assert len(stopped.results["lr"]) < 60
    whole = search(tmp_path, Regression(), max_lr=1e6, num_training=60, early_stop_threshold=None)
    assert len(whole.results["lr"]) == len(whole.results["loss"]) == 60
    assert whole.results["lr"][-1] == pytest.approx(1e6)


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=2, accumulate_grad_batches=2)
    found = Tuner(trainer).lr_find(Regression(), regression_loader(), num_training=20)
    assert found is not None
    assert len(found.results["lr"]) == 20


def test_nothing_is_logged_and_the_tuner_may_be_followed_by_a_fit(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    trainer = make_trainer(tmp_path, max_epochs=1, logger=logger, log_every_n_steps=1)
    model = LoggingRegression()
    Tuner(trainer).lr_find(model, regression_loader())
    assert not (Path(str(logger.log_dir)) / "metrics.csv").exists()
    assert trainer.state.status.value == "finished"
    trainer.fit(model, regression_loader())
    assert trainer.global_step == 6
    assert (Path(str(logger.log_dir)) / "metrics.csv").exists()


def test_what_is_refused(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, callbacks=[LearningRateFinder()])
    with pytest.raises(ValueError, match="has a LearningRateFinder already"):
        Tuner(trainer).lr_find(Regression(), regression_loader())
    with pytest.raises(ValueError, match="'cubic'"):
        LearningRateFinder(mode="cubic")
    tuner = Tuner(make_trainer(tmp_path))
    with pytest.raises(MisconfigurationException, match="found by fitting"):
        tuner.lr_find(Regression(), method="validate")
    with pytest.raises(MisconfigurationException, match="takes `train_dataloaders`"):
        tuner.lr_find(Regression(), dataloaders=regression_loader())
    with pytest.warns(UserWarning, match="nothing under `fast_dev_run`"):
        assert Tuner(make_trainer(tmp_path, fast_dev_run=True)).lr_find(Regression(), regression_loader()) is None


@pytest.mark.filterwarnings("ignore")
def test_the_plot(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    found = search(tmp_path, Regression())
    figure = found.plot(suggest=True)
    [axes] = figure.axes
    curve, point = axes.lines
    assert list(curve.get_xdata()) == found.results["lr"]
    assert list(point.get_xdata()) == [found.suggestion()]
    assert axes.get_xscale() == "log"
    assert found.plot(ax=axes) is figure
