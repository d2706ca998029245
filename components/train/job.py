"""A training job as a file: what the parent process asks for and what the child answers."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

JOB_FILE = "job.json"
RESULT_FILE = "result.json"
MODEL_FILE = "model.ckpt"
HISTORY_FILE = "history.csv"
LOG_FILE = "training.log"
LOCK_FILE = "training.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that a training process needs; paths are local."""

    package: str
    """Import name of the application."""
    dataset: str
    """Folder of the SequenceDataset."""
    folder: str
    """Where checkpoints, logs and the result go; kept until the stage has its record."""
    config: dict[str, Any]  # Any: plain JSON of the application's training configuration

    def write(self) -> Path:
        """Write `job.json` into the job's folder and return its path."""
        path = Path(self.folder) / JOB_FILE
        _write(
            path,
            {"package": self.package, "dataset": self.dataset, "folder": self.folder, "config": self.config},
        )
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a finished training left in its folder."""

    epochs: int
    optimizer_steps: int
    parameters: int
    best_metric: str
    best_value: float

    def write(self, folder: Path) -> None:
        """Write `result.json`, last of all files, in one step."""
        _write(folder / RESULT_FILE, {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the result in `folder`, or None when training has not finished there."""
        try:
            return cls(**json.loads((folder / RESULT_FILE).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def _write(path: Path, value: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(value, stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
