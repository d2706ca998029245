"""Metrics as a CSV file that only ever grows."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import weakref
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.checkpoints import places
from trainer.loggers.logger import Logger, is_rank_zero, rank_zero_experiment
from trainer.loggers.params import as_dict, as_number, prefixed, write_hparams
from trainer.loggers.versions import next_version


class ExperimentWriter:
    """What writes the files of one run: `metrics.csv` and `hparams.yaml`.

    Attributes:
        metrics: rows that are not written yet.
        metrics_keys: the columns of the file.
        hparams: hyperparameters so far.
    """

    NAME_METRICS_FILE = "metrics.csv"
    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir
        self.metrics_file_path = places.join(log_dir, self.NAME_METRICS_FILE)
        self.metrics: list[dict[str, Any]] = []
        self.metrics_keys: list[str] = []
        self.hparams: dict[str, Any] = {}
        self._taken = 0  # rows in all
        self._local: str | None = None
        if places.is_remote(log_dir):  # objects cannot be appended to: they are written here and sent whole
            self._local = tempfile.mkdtemp(prefix="trainer-logs-")
            weakref.finalize(self, shutil.rmtree, self._local, ignore_errors=True)
            self._fetch()

    def _fetch(self) -> None:
        if places.exists(self.metrics_file_path):
            with places.local_copy(self.metrics_file_path) as found:
                shutil.copyfile(found, self._folder() / self.NAME_METRICS_FILE)

    def _send(self, name: str) -> None:
        if self._local is not None:
            places.upload(str(self._folder() / name), places.join(self.log_dir, name))

    def log_metrics(self, metrics_dict: Mapping[str, Any], step: int | None = None) -> None:
        """Keep one row; without a step, the number of rows before this one is taken."""
        row = {key: as_number(value) for key, value in metrics_dict.items()}
        self.metrics.append({"step": self._taken if step is None else step} | row)
        self._taken += 1

    def log_hparams(self, params: Mapping[str, Any]) -> None:
        """Write the hyperparameters together with those of earlier calls; what is no plain data is written as text."""
        self.hparams |= params
        write_hparams(self._folder() / self.NAME_HPARAMS_FILE, self.hparams)
        self._send(self.NAME_HPARAMS_FILE)

    def save(self) -> None:
        """Append the rows kept in memory."""
        if not self.metrics:
            return
        path = self._folder() / self.NAME_METRICS_FILE
        if not self.metrics_keys and path.exists():
            with open(path, newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])
        new = [key for row in self.metrics for key in row if key not in self.metrics_keys]
        if new:
            self._rewrite(path, sorted({*self.metrics_keys, *new}))
        with open(path, "a", newline="") as file:
            csv.DictWriter(file, self.metrics_keys, restval="").writerows(self.metrics)
        self.metrics.clear()
        self._send(self.NAME_METRICS_FILE)

    def _folder(self) -> Path:
        folder = Path(self.log_dir if self._local is None else self._local)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _rewrite(self, path: Path, columns: list[str]) -> None:
        """Write the file again with more columns."""
        old: list[dict[str, str]] = []
        if path.exists():
            with open(path, newline="") as file:
                old = list(csv.DictReader(file))
        temporary = path.with_suffix(".tmp")
        with open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(old)
        os.replace(temporary, path)
        self.metrics_keys = columns


class CSVLogger(Logger):
    """Writes `metrics.csv` and `hparams.yaml` into `save_dir/name/version_n`.

    Rows are kept in memory and appended together. Only when a metric appears for the first time is the file written
    again, with the new column, to a temporary name first. A version that is there already goes on: its rows stay.

    Args:
        save_dir: folder of all experiments, or a URL that fsspec opens; there, the files are sent whole when they are
            written, which is when an epoch ends or every `flush_logs_every_n_steps` rows.
        name: folder of this experiment; None or "" for no folder of its own.
        version: number or name of this run; by default the first free number.
        prefix: put before every metric's name, with a dash.
        flush_logs_every_n_steps: rows kept in memory at most.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        self._save_dir = os.fspath(save_dir)
        self._name = name or ""
        self._version = version
        self._prefix = prefix
        self._flush_every = max(1, flush_logs_every_n_steps)
        self._experiment: ExperimentWriter | None = None

    @property
    def name(self) -> str:
        """Return the name of the experiment."""
        return self._name

    @property
    def save_dir(self) -> str:
        """Return the folder of all experiments."""
        return self._save_dir

    @property
    def version(self) -> int | str:
        """Return the number or name of this run, choosing a free number at first."""
        if self._version is None:
            self._version = next_version(places.join(self._save_dir, self._name))
        return self._version

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """Return what writes the files."""
        return self._writer()

    def _writer(self) -> ExperimentWriter:
        if self._experiment is None:
            self._experiment = ExperimentWriter(str(self.log_dir))
        return self._experiment

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Keep one row; rows are written every `flush_logs_every_n_steps` of them and when the epoch ends.

        Without a step, the number of rows before this one is taken.
        """
        writer = self._experiment if self._experiment is not None else self._writer()
        if not is_rank_zero():
            return
        writer.log_metrics(prefixed(metrics, self._prefix, self.LOGGER_JOIN_CHAR), step)
        if len(writer.metrics) >= self._flush_every:
            self.save()

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace | None = None) -> None:
        """Write the hyperparameters; what is no plain data is written as text."""
        if is_rank_zero():
            self._writer().log_hparams(as_dict(params))

    def save(self) -> None:
        """Append the rows kept in memory."""
        if self._experiment is not None:
            self._experiment.save()
