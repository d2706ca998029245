"""What `configure_optimizers` returns, in all its forms, brought to one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainer.errors import ManualOptimizationError, MetricNotFoundError, MisconfigurationException, four_parts

if TYPE_CHECKING:
    from trainer.trainer import Trainer

_SCHEDULER_KEYS = ("scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau")
_FORMS = (
    "an optimizer, a list of optimizers, a pair (optimizers, schedulers), "
    "a dict with 'optimizer' and perhaps 'lr_scheduler' and 'monitor', a list of such dicts, or None"
)


@dataclass(slots=True, kw_only=True)
class LRSchedulerConfig:
    """One scheduler and when it steps.

    Attributes:
        scheduler: anything with `step`, `state_dict` and `load_state_dict`.
        interval: step after optimizer steps, or after epochs.
        frequency: every how many of them.
        monitor: the metric that a plateau scheduler looks at.
        strict: a missing metric is an error rather than a warning.
        name: how `LearningRateMonitor` calls it.
        reduce_on_plateau: pass the metric to `step`.
    """

    scheduler: Any  # torch's own schedulers share no base class that mypy can use for ReduceLROnPlateau
    interval: Literal["step", "epoch"] = "epoch"
    frequency: int = 1
    monitor: str | None = None
    strict: bool = True
    name: str | None = None
    reduce_on_plateau: bool = False


def read_optimizers(returned: object) -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    """Return the optimizers and scheduler configurations in what `configure_optimizers` returned.

    Raises:
        MisconfigurationException: the form is unknown, or a part of it is.
    """
    if returned is None:
        return [], []
    if isinstance(returned, Optimizer):
        return [returned], []
    if isinstance(returned, Mapping):
        return _from_dicts([returned])
    if isinstance(returned, Sequence):
        if len(returned) == 2 and isinstance(returned[0], list | tuple):
            schedulers = returned[1] if isinstance(returned[1], list | tuple) else [returned[1]]
            optimizers = [_optimizer(entry) for entry in returned[0]]
            return optimizers, [_scheduler(entry) for entry in schedulers]
        if returned and all(isinstance(entry, Mapping) for entry in returned):
            return _from_dicts(list(returned))
        if all(isinstance(entry, Optimizer) for entry in returned):
            return list(returned), []
    raise MisconfigurationException(
        four_parts(
            "`configure_optimizers` returned something unknown.",
            got=returned,
            expected=_FORMS,
            remedy="Return one of these forms.",
        )
    )


def _from_dicts(entries: Sequence[Mapping[str, Any]]) -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    optimizers, schedulers = [], []
    for entry in entries:
        unknown = sorted(set(entry) - {"optimizer", "lr_scheduler", "monitor"})
        if "optimizer" in entry:
            _warn_of_keys(unknown, "The dict from `configure_optimizers`")
        else:
            raise MisconfigurationException(
                four_parts(
                    "A dict from `configure_optimizers` has the wrong keys.",
                    got=sorted(entry),
                    expected="'optimizer' and perhaps 'lr_scheduler' and 'monitor'",
                    remedy="Add 'optimizer'.",
                )
            )
        optimizers.append(_optimizer(entry["optimizer"]))
        if entry.get("lr_scheduler") is not None:
            schedulers.append(_scheduler(entry["lr_scheduler"], entry.get("monitor")))
    return optimizers, schedulers


def _optimizer(entry: object) -> Optimizer:
    if isinstance(entry, Optimizer):
        return entry
    raise MisconfigurationException(
        four_parts(
            "`configure_optimizers` returned a list with something else than optimizers.",
            got=entry,
            expected="instances of torch.optim.Optimizer",
            remedy="Build the optimizer with the model's parameters before returning it.",
        )
    )


def _scheduler(entry: object, monitor: str | None = None) -> LRSchedulerConfig:
    options: dict[str, Any] = dict(entry) if isinstance(entry, Mapping) else {"scheduler": entry}
    unknown = sorted(set(options) - set(_SCHEDULER_KEYS))
    scheduler = options.get("scheduler")
    if not callable(getattr(scheduler, "step", None)):
        raise MisconfigurationException(
            four_parts(
                "A learning rate scheduler configuration cannot be read.",
                got=options,
                expected=f"a scheduler, or a dict with keys among {list(_SCHEDULER_KEYS)}",
                remedy="Give the scheduler under 'scheduler'.",
            )
        )
    _warn_of_keys(unknown, "The configuration of a learning rate scheduler")
    options = {name: value for name, value in options.items() if name in _SCHEDULER_KEYS}
    options.setdefault("monitor", monitor)
    options.setdefault("reduce_on_plateau", isinstance(scheduler, ReduceLROnPlateau))
    config = LRSchedulerConfig(**options)
    if config.interval not in ("step", "epoch") or config.frequency < 1:
        raise MisconfigurationException(
            four_parts(
                "A learning rate scheduler has an impossible interval or frequency.",
                got=(config.interval, config.frequency),
                expected="interval 'step' or 'epoch' and a frequency of at least 1",
                remedy="Correct it in `configure_optimizers`.",
            )
        )
    if config.reduce_on_plateau and config.monitor is None:
        raise MisconfigurationException(
            four_parts(
                "ReduceLROnPlateau has no metric to look at.",
                got=options,
                expected="a dict with 'monitor'",
                remedy='Return {"optimizer": ..., "lr_scheduler": {"scheduler": ..., "monitor": "val_loss"}}.',
            )
        )
    return config


def _warn_of_keys(unknown: list[str], where: str) -> None:
    if unknown:
        warnings.warn(
            f"{where} has keys that mean nothing: {unknown}. They are left out.", RuntimeWarning, stacklevel=5
        )


def check_schedulers(optimizers: Sequence[Optimizer], schedulers: Sequence[LRSchedulerConfig]) -> None:
    """Refuse schedulers of optimizers that nobody steps.

    Raises:
        MisconfigurationException: a scheduler's optimizer was not returned.
    """
    for config in schedulers:
        optimizer = getattr(config.scheduler, "optimizer", None)
        if isinstance(optimizer, Optimizer) and all(optimizer is not known for known in optimizers):
            raise MisconfigurationException(
                four_parts(
                    "A learning rate scheduler belongs to an optimizer that `configure_optimizers` did not return.",
                    got=type(config.scheduler).__name__,
                    expected="schedulers of the optimizers returned",
                    remedy="Build the scheduler with that optimizer.",
                )
            )


def check_optimizers(optimizers: Sequence[Optimizer], *, automatic: bool, clips: bool, windows: bool) -> None:
    """Refuse what automatic or manual optimisation cannot do with these optimizers.

    Raises:
        ManualOptimizationError: several optimizers under automatic optimisation.
        MisconfigurationException: clipping or accumulation asked of the trainer under manual optimisation.
    """
    if automatic and len(optimizers) > 1:
        raise ManualOptimizationError(
            four_parts(
                "Automatic optimisation drives one optimizer.",
                got=[type(optimizer).__name__ for optimizer in optimizers],
                expected="one optimizer, or manual optimisation",
                remedy="Set `self.automatic_optimization = False` and step them in `training_step`.",
            )
        )
    if not automatic and windows:
        raise MisconfigurationException(
            four_parts(
                "Under manual optimisation the trainer cannot accumulate gradients.",
                got="accumulate_grad_batches",
                expected="no `accumulate_grad_batches` in Trainer(...)",
                remedy="Step the optimizer every so many batches in `training_step`.",
            )
        )
    if not automatic and clips:
        raise MisconfigurationException(
            four_parts(
                "Under manual optimisation the trainer cannot know when to clip.",
                got="gradient_clip_val",
                expected="no `gradient_clip_val` in Trainer(...)",
                remedy="Call `self.clip_gradients(optimizer, gradient_clip_val=...)` in `training_step`.",
            )
        )


class SchedulerSteps:
    """Steps the schedulers of a fit at the right moments: only after optimizer steps, each at its own frequency."""

    def __init__(self, trainer: Trainer, configs: Sequence[LRSchedulerConfig]) -> None:
        self._trainer = trainer
        self.after_step = tuple(c for c in configs if c.interval == "step" and not c.reduce_on_plateau)
        self.plateau_after_step = tuple(c for c in configs if c.interval == "step" and c.reduce_on_plateau)
        self.after_epoch = tuple(c for c in configs if c.interval == "epoch" and not c.reduce_on_plateau)
        self.plateau_after_epoch = tuple(c for c in configs if c.interval == "epoch" and c.reduce_on_plateau)

    def update(self, configs: Sequence[LRSchedulerConfig], count: int) -> None:
        """Step those of `configs` whose frequency divides `count` steps or epochs."""
        for config in configs:
            if count % config.frequency:
                continue
            metric = self._metric(config) if config.reduce_on_plateau else None
            if metric is None and config.reduce_on_plateau:
                continue
            self._trainer.lightning_module.lr_scheduler_step(config.scheduler, metric)

    def _metric(self, config: LRSchedulerConfig) -> Any:
        metrics = self._trainer.callback_metrics
        if config.monitor in metrics:
            return metrics[config.monitor]
        message = (
            f"ReduceLROnPlateau looks at `{config.monitor}`, which was not logged. Known metrics: {sorted(metrics)}. "
            "Log it, correct the name, or step the scheduler after it was logged."
        )
        if config.strict:
            raise MetricNotFoundError(message)
        self._trainer.warn_once(message)
        return None


def default_scheduler_step(scheduler: Any, metric: Any | None) -> None:
    """Step `scheduler`, with the metric if there is one."""
    if metric is None:
        scheduler.step()
    else:
        scheduler.step(metric)
