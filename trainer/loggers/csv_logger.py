"""Metrics as a CSV file that only ever grows."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.loggers.logger import Logger

_METRICS_FILE = "metrics.csv"
_HPARAMS_FILE = "hparams.json"


class CSVLogger(Logger):
    """Writes `metrics.csv` and `hparams.json` into `save_dir/name/version_n`.

    Rows are kept in memory and appended together. Only when a metric appears for the first time is the file written
    again, with the new column, to a temporary name first.

    Args:
        save_dir: folder of all experiments.
        name: folder of this experiment.
        version: number or name of this run; by default the first free number.
        prefix: put before every metric's name, with a dash.
        flush_logs_every_n_steps: rows kept in memory at most.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        self._save_dir = str(save_dir)
        self._name = name
        self._version = version
        self._prefix = prefix
        self._flush_every = max(1, flush_logs_every_n_steps)
        self._rows: list[dict[str, float]] = []
        self._taken = 0  # rows in all
        self._columns: list[str] = []

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
            folder = Path(self._save_dir) / self._name
            names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
            taken = [int(found[1]) for name in names if (found := re.fullmatch(r"version_(\d+)", name))]
            self._version = max(taken, default=-1) + 1
        return self._version

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep one row; rows are written every `flush_logs_every_n_steps` of them and when the epoch ends.

        Without a step, the number of rows before this one is taken.
        """
        prefix = f"{self._prefix}-" if self._prefix else ""
        row = {prefix + key: float(value) for key, value in metrics.items()}
        self._rows.append({"step": self._taken if step is None else step} | row)
        self._taken += 1
        if len(self._rows) >= self._flush_every:
            self.save()

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """Write the hyperparameters; what is no JSON is written as text."""
        folder = self._folder()
        (folder / _HPARAMS_FILE).write_text(json.dumps(dict(params), indent=2, default=str, sort_keys=True) + "\n")

    def _folder(self) -> Path:
        folder = Path(str(self.log_dir))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save(self) -> None:
        """Append the rows kept in memory."""
        if not self._rows:
            return
        path = self._folder() / _METRICS_FILE
        if not self._columns and path.exists():
            with open(path, newline="") as file:
                self._columns = next(csv.reader(file), [])
        new = [key for row in self._rows for key in row if key not in self._columns]
        if new:
            self._rewrite(path, [*self._columns, *dict.fromkeys(new)])
        with open(path, "a", newline="") as file:
            csv.DictWriter(file, self._columns, restval="").writerows(self._rows)
        self._rows.clear()

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
        self._columns = columns
