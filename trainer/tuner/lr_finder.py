"""Which learning rate to begin with: raise it from step to step, and see where the loss falls fastest."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.loops.loop import FitLoop
from trainer.tuner.attributes import has_value, set_value
from trainer.tuner.trial import trial
from trainer.types import Batch, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer

_SMOOTHING = 0.98
_NAMES = ("lr", "learning_rate")


class LRFinder:
    """What a search for a learning rate found.

    The method is the range test of Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3.

    Args:
        mode: "exponential" or "linear": how the rate rises.
        lr_min: the first rate.
        lr_max: the last rate.
        num_training: rates that were to be tried.

    Attributes:
        results: lists under "lr" and "loss"; the loss is smoothed.
    """

    def __init__(self, mode: str, lr_min: float, lr_max: float, num_training: int) -> None:
        self.mode = mode
        self.lr_min = lr_min
        self.lr_max = lr_max
        self.num_training = num_training
        self.results: dict[str, list[float]] = {"lr": [], "loss": []}
        self._optimal_idx: int | None = None

    def rate(self, step: int) -> float:
        """Return the rate of a step from 0; the first is `lr_min`, the last of them `lr_max`."""
        if step == 0:
            return self.lr_min
        share = (step + 1) / self.num_training
        if self.mode == "linear":
            return self.lr_min + share * (self.lr_max - self.lr_min)
        return float(self.lr_min * (self.lr_max / self.lr_min) ** share)

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """Return the rate at which the loss falls fastest, None with too few points.

        Args:
            skip_begin: points to leave out at the beginning, where the smoothed loss means little.
            skip_end: points to leave out at the end.
        """
        rates, losses = self.results["lr"], self.results["loss"]
        chosen = [index for index in range(len(losses))[skip_begin : len(losses) - skip_end]
                  if math.isfinite(losses[index])]  # fmt: skip
        self._optimal_idx = None
        if len(chosen) < 2:
            return None
        spacing = torch.tensor([rates[index] for index in chosen])
        [slopes] = torch.gradient(torch.tensor([losses[index] for index in chosen]), spacing=[spacing])
        self._optimal_idx = chosen[int(torch.argmin(slopes))]
        return rates[self._optimal_idx]

    def plot(self, suggest: bool = False, show: bool = False, ax: Any = None) -> Any:
        """Return a figure of loss over learning rate.

        Args:
            suggest: mark the suggestion.
            show: open a window.
            ax: matplotlib axes to draw on instead of new ones.

        Raises:
            MisconfigurationException: matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise MisconfigurationException(
                "`plot` needs the package matplotlib, which is not installed. Install it: pip install matplotlib."
            ) from error
        figure, axes = plt.subplots() if ax is None else (ax.figure, ax)
        axes.plot(self.results["lr"], self.results["loss"])
        if self.mode == "exponential":
            axes.set_xscale("log")
        axes.set_xlabel("Learning rate")
        axes.set_ylabel("Loss")
        if suggest and self.suggestion() is not None:
            index = self._optimal_idx
            assert index is not None
            point = self.results["lr"][index], self.results["loss"][index]
            axes.plot(*point, markersize=10, marker="o", color="red")
        if show:
            plt.show()
        return figure


class _Recorder(Callback):
    """Sets the rate of each step and keeps its smoothed loss; stops when the loss runs away."""

    def __init__(self, finder: LRFinder, threshold: float | None) -> None:
        self.finder = finder
        self.threshold = threshold
        self.mean = 0.0
        self.best = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        rate = self.finder.rate(len(self.finder.results["loss"]))
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        if trainer.train_state.window_batches:
            return  # the optimizer steps later
        results = self.finder.results
        results["lr"].append(self.finder.rate(len(results["loss"])))
        loss = outputs.get("loss") if outputs else None  # type: ignore[union-attr]  # the loop passes dicts on
        if not isinstance(loss, Tensor):
            results["loss"].append(math.nan)
            return
        step = len(results["lr"])
        self.mean = _SMOOTHING * self.mean + (1 - _SMOOTHING) * loss.item()
        smoothed = self.mean / (1 - _SMOOTHING ** (step + 1))
        if self.threshold is not None and step > 1 and smoothed > self.threshold * self.best:
            trainer.should_stop = True
        if smoothed < self.best or step == 1:
            self.best = smoothed
        results["loss"].append(smoothed)


def find_lr(
    trainer: Trainer,
    *,
    min_lr: float,
    max_lr: float,
    num_training: int,
    mode: str,
    early_stop_threshold: float | None,
    update_attr: bool,
    attr_name: str,
) -> LRFinder | None:
    """Search inside a fit whose optimizer is ready; return what was found, None under `fast_dev_run`.

    Raises:
        MisconfigurationException: there is not exactly one optimizer.
        AttributeError: nobody has the attribute that is to be set.
    """
    if trainer.fast_dev_run:
        trainer.warn_once("The learning rate finder does nothing under `fast_dev_run`.")
        return None
    name = _attribute(trainer, attr_name) if update_attr else ""
    if len(trainer.optimizers) != 1:
        raise MisconfigurationException(
            four_parts("The learning rate finder works with one optimizer.", got=len(trainer.optimizers),
                       expected="one", remedy="Tune the optimizers one at a time.")
        )  # fmt: skip
    finder = LRFinder(mode, min_lr, max_lr, num_training)
    with trial(trainer, [_Recorder(finder, early_stop_threshold)]):
        trainer.length = dataclasses.replace(
            trainer.length, max_steps=num_training, max_epochs=-1, min_steps=None, min_epochs=None
        )
        FitLoop(trainer, trainer.make_train_loader(), None, None).run()
    rate = finder.suggestion() if update_attr else None
    if rate is not None:
        set_value(trainer, name, rate)
        _set_rate(trainer, rate)
        trainer.print(f"Learning rate set to {rate}")
    elif update_attr:
        trainer.warn_once(
            f"The learning rate finder has no suggestion: {len(finder.results['loss'])} steps are too few. "
            "Give it more training batches or a larger `num_training`."
        )
    return finder


def _attribute(trainer: Trainer, given: str) -> str:
    for name in [given] if given else _NAMES:
        if has_value(trainer, name):
            return name
    raise AttributeError(
        f"The learning rate finder has nowhere to put the rate. Got no {given or ' or '.join(_NAMES)}; expected an "
        "attribute or hyperparameter of the model. Name it with `attr_name`, or pass update_attr=False."
    )


def _set_rate(trainer: Trainer, rate: float) -> None:
    """Let the optimizer go on with `rate`, and the schedulers count from it."""
    for group in trainer.optimizers[0].param_groups:
        initial = group.get("initial_lr")
        factor = group["lr"] / initial if initial else 1.0  # what a scheduler made of it, a warm-up for example
        group["lr"] = rate * factor
        if initial is not None:
            group["initial_lr"] = rate
    for config in trainer.lr_scheduler_configs:
        if hasattr(config.scheduler, "base_lrs"):
            config.scheduler.base_lrs = [rate] * len(config.scheduler.base_lrs)
