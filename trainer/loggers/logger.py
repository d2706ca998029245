"""The interface of a logger."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trainer.checkpoints.places import join
from trainer.launching.environments import detect_environment

if TYPE_CHECKING:
    from torch import nn

    from trainer.callbacks.model_checkpoint import ModelCheckpoint


class Logger(ABC):
    """Takes metrics and hyperparameters of a run. The trainer calls it on rank zero only, with plain numbers.

    A subclass writes `name`, `version` and `log_metrics`, and what else it can do.
    """

    LOGGER_JOIN_CHAR = "-"

    @property
    @abstractmethod
    def name(self) -> str | None:
        """Return the name of the experiment."""

    @property
    @abstractmethod
    def version(self) -> int | str | None:
        """Return what tells this run from others of the experiment."""

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take the values of one step; must not wait for a disk or a network.

        The trainer passes plain numbers and a step. Code of the user may pass tensors of one element, and no step.
        """

    @property
    def save_dir(self) -> str | None:
        """Return the folder that holds all experiments, None where nothing is kept in files."""
        return None

    @property
    def root_dir(self) -> str | None:
        """Return the folder that holds all runs of this experiment."""
        return None if self.save_dir is None else join(self.save_dir, str(self.name or ""))

    @property
    def log_dir(self) -> str | None:
        """Return the folder of this run."""
        if self.root_dir is None:
            return None
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        return join(self.root_dir, version)

    @property
    def group_separator(self) -> str:
        """Return what stands between a group's name and a metric's."""
        return "/"

    @property
    def experiment(self) -> Any:  # each logger's own object
        """Return the object behind the logger, None where there is none."""
        return None

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:  # noqa: B027
        """Take the hyperparameters of the model."""

    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:  # noqa: B027 - loggers may leave it out
        """Take the graph of the model, for the input given or the model's `example_input_array`."""

    def save(self) -> None:  # noqa: B027 - loggers may leave it out
        """Write what was taken so far."""

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:  # noqa: B027 - as above
        """Hear that a checkpoint callback has written; its paths and scores say what there is."""

    def finalize(self, status: str) -> None:
        """Write everything; the run ended as `status` says: "success" or "failed"."""
        self.save()


class DummyExperiment:
    """Takes any call and does nothing: what other processes than rank zero see as `logger.experiment`."""

    def nop(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.nop

    def __getitem__(self, index: int) -> DummyExperiment:
        return self

    def __setitem__(self, *args: Any) -> None:
        pass


class DummyLogger(Logger):
    """A logger that takes everything and keeps nothing; stands in for the real ones while the tuner searches."""

    def __init__(self) -> None:
        self._experiment = DummyExperiment()

    @property
    def experiment(self) -> DummyExperiment:
        """Return an object that takes any call."""
        return self._experiment

    @property
    def name(self) -> str:
        """Return no name."""
        return ""

    @property
    def version(self) -> str:
        """Return no version."""
        return ""

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def __getitem__(self, index: int) -> DummyLogger:
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


def is_rank_zero() -> bool:
    """Return whether this process is the one that logs."""
    return detect_environment().rank == 0


def rank_zero_experiment(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let `experiment` be the real object on rank zero and a DummyExperiment elsewhere; put it below `@property`."""

    @functools.wraps(function)
    def experiment(self: Any) -> Any:
        return function(self) if is_rank_zero() else DummyExperiment()

    return experiment
