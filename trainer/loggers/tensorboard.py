"""Metrics, hyperparameters and graphs for TensorBoard."""

from __future__ import annotations

import os
import warnings
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainer.errors import four_parts
from trainer.loggers.logger import Logger, is_rank_zero, rank_zero_experiment
from trainer.loggers.missing import require
from trainer.loggers.params import as_dict, as_number, flattened, prefixed, simple, write_hparams
from trainer.loggers.row_queue import RowQueue
from trainer.loggers.versions import next_version
from trainer.seed import isolated_rng

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_Row = tuple[dict[str, Any], int | None]


class TensorBoardLogger(Logger):
    """Writes event files into `save_dir/name/version_n`, to be shown with `tensorboard --logdir save_dir`.

    Metrics are written by a thread, never by the training step.

    Args:
        save_dir: folder of all experiments.
        name: folder of this experiment; None or "" for no folder of its own.
        version: number or name of this run; by default the first free number.
        log_graph: write the model's graph when fitting begins; the model needs `example_input_array`.
        default_hp_metric: give hyperparameters without metrics the metric `hp_metric` (-1), so that they are shown.
        prefix: put before every metric's name, with a dash.
        sub_dir: folder inside the run's.
        kwargs: for `torch.utils.tensorboard.SummaryWriter`, such as `max_queue` and `flush_secs`.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """

    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        log_graph: bool = False,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        require("tensorboard", type(self).__name__)
        self._save_dir = os.fspath(save_dir)
        self._name = name or ""
        self._version = version
        self._log_graph = log_graph
        self._default_hp_metric = default_hp_metric
        self._prefix = prefix
        self._sub_dir = None if sub_dir is None else os.fspath(sub_dir)
        self._kwargs = kwargs
        self._experiment: SummaryWriter | None = None
        self._queue: RowQueue[_Row] = RowQueue(self._write, type(self).__name__)
        self.hparams: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Return the name of the experiment."""
        return self._name

    @property
    def version(self) -> int | str:
        """Return the number or name of this run, choosing a free number at first."""
        if self._version is None:
            self._version = next_version(self.root_dir)
        return self._version

    @property
    def save_dir(self) -> str:
        """Return the folder of all experiments."""
        return self._save_dir

    @property
    def root_dir(self) -> str:
        """Return the folder of this experiment."""
        return os.path.join(self._save_dir, self._name)

    @property
    def sub_dir(self) -> str | None:
        """Return the folder inside the run's, if any."""
        return self._sub_dir

    @property
    def log_dir(self) -> str:
        """Return the folder of this run; `~` and variables in it are expanded."""
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        folder = os.path.join(self.root_dir, version, *([self._sub_dir] if self._sub_dir is not None else []))
        return os.path.expanduser(os.path.expandvars(folder))

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """Return torch's SummaryWriter, when everything logged so far is in it."""
        self._queue.flush()
        return self._writer()

    def _writer(self) -> SummaryWriter:
        if self._experiment is None:
            from torch.utils.tensorboard import SummaryWriter

            if self.root_dir:
                os.makedirs(self.root_dir, exist_ok=True)
            self._experiment = SummaryWriter(log_dir=self.log_dir, **self._kwargs)
        return self._experiment

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take values of one step: numbers, tensors of one element, or dicts of them for one chart.

        Raises:
            ValueError: a value is neither.
        """
        if not is_rank_zero():
            return
        row = {name: _scalar(name, value) for name, value in metrics.items()}
        if self._experiment is None:
            self._writer()
        self._queue.put((prefixed(row, self._prefix, self.LOGGER_JOIN_CHAR), step))

    def _write(self, rows: Sequence[_Row]) -> None:
        writer: Any = self._writer()  # torch leaves its methods untyped
        for row, step in rows:
            for name, value in row.items():
                if isinstance(value, dict):
                    writer.add_scalars(name, value, step)
                else:
                    writer.add_scalar(name, value, step)

    def log_hyperparams(
        self,
        params: Mapping[str, Any] | Namespace,
        metrics: Mapping[str, Any] | float | None = None,
        step: int | None = None,
    ) -> None:
        """Write hyperparameters, for the HPARAMS tab and `hparams.yaml`.

        Args:
            params: nested values are flattened with "/".
            metrics: what the run is judged by; one number is called `hp_metric`.
            step: of the metrics.
        """
        if not is_rank_zero():
            return
        given = as_dict(params)
        self.hparams |= given
        if metrics is None:
            metrics = {"hp_metric": -1} if self._default_hp_metric else {}
        elif not isinstance(metrics, Mapping):
            metrics = {"hp_metric": metrics}
        if not metrics:
            return
        self.log_metrics(metrics, 0 if step is None else step)
        from torch.utils.tensorboard import summary

        values = {name: as_number(value) if isinstance(value, Tensor) and value.numel() == 1 else value
                  for name, value in simple(flattened(given)).items()}  # fmt: skip
        build: Any = summary.hparams  # torch leaves it untyped
        parts = build(values, {name: as_number(value) for name, value in metrics.items()})
        for part in parts:
            self.experiment.file_writer.add_summary(part)

    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Write the model's graph, where the logger was made with `log_graph=True`."""
        if not self._log_graph or not is_rank_zero():
            return
        example = getattr(model, "example_input_array", None) if input_array is None else input_array
        if not isinstance(example, Tensor | tuple):
            kind = "nothing" if example is None else type(example).__name__
            warnings.warn(
                "The graph was not written to TensorBoard. "
                f"Got {kind} as `example_input_array`; expected a tensor, or a tuple of the arguments of `forward`. "
                "Set it in the model, or pass `input_array`.",
                stacklevel=2,
            )
            return
        parameter = next(model.parameters(), None)
        example = _on(example, torch.device("cpu") if parameter is None else parameter.device)
        writer: Any = self.experiment
        modes = [(part, part.training) for part in model.modules()]
        model.eval()
        try:
            with isolated_rng(), torch.no_grad():
                writer.add_graph(_Forward(model), example)
        finally:
            for part, training in modes:
                part.training = training

    def save(self) -> None:
        """Write what was taken so far, `hparams.yaml` too."""
        if self._experiment is None or not is_rank_zero():
            return
        self._queue.flush()
        self._experiment.flush()
        path = Path(self.log_dir) / self.NAME_HPARAMS_FILE
        if path.parent.is_dir() and not path.is_file():
            write_hparams(path, self.hparams)

    def finalize(self, status: str) -> None:
        """Write everything and close the event file; a later value opens a new one beside it.

        Raises:
            LoggingError: something could not be written.
        """
        if self._experiment is None:
            return
        self.save()
        self._queue.close()
        self._experiment.close()

    def __getstate__(self) -> dict[str, Any]:
        # The writer holds an open file and a thread; a copy opens its own in the same folder.
        return {**self.__dict__, "_version": self.version, "_experiment": None}


class _Forward(nn.Module):
    """A model for the tracer: only `forward`, without what a LightningModule has around it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any) -> Any:
        return self.model(*inputs)


def _scalar(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: as_number(part) for key, part in value.items()}
    try:
        return float(as_number(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            four_parts(f"TensorBoardLogger cannot write {name!r} as a number.", got=value,
                       expected="a number, a tensor of one element, or a dict of them",
                       remedy="For images, text and histograms use `logger.experiment`.")
        ) from error  # fmt: skip


def _on(example: Any, device: torch.device) -> Any:
    if isinstance(example, tuple):
        return tuple(_on(part, device) for part in example)
    return example.to(device) if isinstance(example, Tensor) else example
