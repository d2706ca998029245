"""Which checkpoint files a logger has not kept yet, and what it says about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from trainer.checkpoints.places import exists, is_remote
from trainer.checkpoints.sharded.manifest import NAME as MANIFEST

if TYPE_CHECKING:
    from trainer.callbacks.model_checkpoint import ModelCheckpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile:
    """A file, or a sharded checkpoint's folder, that a checkpoint callback wrote.

    Attributes:
        path: of the file or folder.
        score: the metric it is ranked by, if any.
        aliases: "latest", and "best" for the best one.
        written: when it was written, in seconds since 1970.
    """

    path: str
    score: float | None
    aliases: list[str]
    written: float


def new_files(callback: ModelCheckpoint, kept: dict[str, float]) -> list[CheckpointFile]:
    """Return the callback's files that are newer than `kept` says, oldest first."""
    scores: dict[str, Any] = {callback.last_model_path: callback.current_score}
    scores[callback.best_model_path] = callback.best_model_score
    scores |= callback.best_k_models
    found = []
    for path, score in scores.items():
        if not path or not exists(path) or is_remote(path):
            continue
        place = Path(path)
        written = (place / MANIFEST if place.is_dir() else place).stat().st_mtime
        if written > kept.get(path, -1.0):
            number = float(score) if isinstance(score, Tensor) else score
            aliases = ["latest", "best"] if path == callback.best_model_path else ["latest"]
            found.append(CheckpointFile(path=path, score=number, aliases=aliases, written=written))
    return sorted(found, key=lambda file: (file.written, file.path))


def description(callback: ModelCheckpoint, file: CheckpointFile) -> dict[str, Any]:
    """Return what is kept beside the file: its score, its name and how the callback chose it."""
    names = ("monitor", "mode", "save_last", "save_top_k", "save_weights_only", "_every_n_train_steps")
    chosen = {name: getattr(callback, name) for name in names if hasattr(callback, name)}
    return {"score": file.score, "original_filename": Path(file.path).name, type(callback).__name__: chosen}
