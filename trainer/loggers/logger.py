"""The interface of a logger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Logger(ABC):
    """Takes metrics and hyperparameters of a run. Called on rank zero only, with plain numbers."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the name of the experiment."""

    @property
    @abstractmethod
    def version(self) -> int | str:
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
    def log_dir(self) -> str | None:
        """Return the folder of this run."""
        if self.save_dir is None:
            return None
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        return str(Path(self.save_dir) / self.name / version)

    @property
    def root_dir(self) -> str | None:
        """Return the folder that holds all runs of this experiment."""
        return None if self.save_dir is None else str(Path(self.save_dir) / self.name)

    @property
    def experiment(self) -> Any:  # each logger's own object
        """Return the object behind the logger."""
        return None

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:  # noqa: B027 - loggers may leave it out
        """Take the hyperparameters of the model."""

    def save(self) -> None:  # noqa: B027 - loggers may leave it out
        """Write what was taken so far."""

    def finalize(self, status: str) -> None:
        """Write everything; the run ended as `status` says."""
        self.save()
