"""The interface of a profiler, and the one that does nothing."""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

log = logging.getLogger("trainer.profilers")

_UNSAFE = re.compile(r"[\\/:*?\"<>|\n\r\t]")


class Profiler(ABC):
    """Measures named actions: those of the trainer, and those of the user inside `with profiler.profile("name")`.

    A subclass writes `start` and `stop`, and `summary` for the report.

    Args:
        dirpath: folder of the report; with a `filename` alone it is the trainer's `log_dir`.
        filename: of the report, without ending; without it the report is printed.
    """

    _lightning_module: Any = None  # the model of the run, set by the trainer

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None) -> None:
        self.dirpath = dirpath
        self.filename = filename
        self._output_file: TextIO | None = None
        self._write_stream: Callable[[str], object] | None = None
        self._local_rank: int | None = None
        self._stage: str | None = None

    @abstractmethod
    def start(self, action_name: str) -> None:
        """Begin to measure an action."""

    @abstractmethod
    def stop(self, action_name: str) -> None:
        """End the measurement of an action."""

    def summary(self) -> str:
        """Return the report, "" where there is none."""
        return ""

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        """Measure what runs inside the block."""
        try:
            self.start(action_name)
            yield action_name
        finally:
            self.stop(action_name)

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Get ready for a run.

        Args:
            stage: "fit", "validate", "test" or "predict"; in the names of files and reports.
            local_rank: of this process, None where it is the only one.
            log_dir: where files go if no `dirpath` was given.
        """
        self._stage = stage
        self._local_rank = local_rank
        self.dirpath = self.dirpath or log_dir

    def teardown(self, stage: str | None) -> None:
        """End a run: close the report's file."""
        self._write_stream = None
        if self._output_file is not None:
            self._output_file.close()
            self._output_file = None

    def describe(self) -> None:
        """Print or write the report, and tear down; the trainer calls this at the end of a run."""
        self._prepare_streams()
        summary = self.summary()
        if summary and self._write_stream is not None:
            self._write_stream(summary)
        if self._output_file is not None:
            self._output_file.flush()
        self.teardown(stage=self._stage)

    @property
    def local_rank(self) -> int:
        """Return the rank of this process on its machine."""
        return self._local_rank or 0

    def _prepare_streams(self) -> None:
        if self._write_stream is not None:
            return
        if self.filename and self.dirpath:
            os.makedirs(self.dirpath, exist_ok=True)
            path = os.path.join(self.dirpath, self._prepare_filename())
            self._output_file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - `teardown` closes it
            self._write_stream = self._output_file.write
        else:
            self._write_stream = self._show

    def _show(self, text: str) -> None:
        """Print the report on rank zero; a program that listens to log messages gets it as one instead."""
        if self._local_rank in (None, 0):
            if log.isEnabledFor(logging.INFO):
                log.info(text)
            else:
                print(text)

    def _prepare_filename(self, action_name: str | None = None, extension: str = ".txt") -> str:
        """Return stage, name, rank and action, as far as there are any, as the name of a file."""
        rank = None if self._local_rank is None else str(self._local_rank)
        base = "-".join(part for part in (self._stage, self.filename, rank, action_name) if part)
        base = re.sub(r"_+", "_", _UNSAFE.sub("_", base)).strip()
        return (base or "profile") + extension

    def _stats_to_str(self, stats: Mapping[str, str]) -> str:
        stage = f"{self._stage.upper()} " if self._stage is not None else ""
        parts = [f"{stage}Profiler Report"]
        for action, text in stats.items():
            rank = f" rank: {self._local_rank}" if self._local_rank is not None else ""
            parts += [f"Profile stats for: {action}{rank}", text]
        return os.linesep.join(parts)

    def __getstate__(self) -> dict[str, Any]:
        # An open file cannot be copied.
        return {**self.__dict__, "_output_file": None, "_write_stream": None}


class PassThroughProfiler(Profiler):
    """Measures nothing; what a trainer has by default."""

    def start(self, action_name: str) -> None:
        """Do nothing."""

    def stop(self, action_name: str) -> None:
        """Do nothing."""

    def describe(self) -> None:
        """Do nothing."""
