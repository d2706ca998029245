"""Keeping checkpoints: the best by a metric, the newest, and the last."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from trainer.callbacks.checkpoint import Checkpoint
from trainer.callbacks.checkpoint_names import format_checkpoint_name, unused_path
from trainer.checkpoints import places
from trainer.checkpoints.newest import remove_saved, repeat_saved
from trainer.errors import CheckpointError, MetricNotFoundError, MisconfigurationException
from trainer.types import Batch, PlainState, Stage, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class ModelCheckpoint(Checkpoint):
    """Saves checkpoints during a fit. A file is deleted only when the one that replaces it is whole.

    Args:
        dirpath: folder, or a URL that fsspec opens (s3://bucket/folder); by default "checkpoints" in the logger's
            folder, or in `default_root_dir`.
        filename: template such as "{epoch}-{val_loss:.2f}"; by default "{epoch}-{step}".
        monitor: metric to rank by; None keeps the newest.
        verbose: print each save.
        save_last: also keep "last.ckpt" up to date: True, or "link", which here is the same (a hard link to the file
            just written where the file system has them, else a copy).
        save_top_k: how many to keep, -1 all, 0 none.
        save_weights_only: leave out what only a resume needs.
        mode: whether smaller or larger is better.
        auto_insert_metric_name: write "epoch=3" rather than "3" into names.
        every_n_train_steps: save after every n optimizer steps, and not at other times unless asked for.
        train_time_interval: save after the first optimizer step when this time has passed since the last save.
        every_n_epochs: save after every n epochs; 0 never.
        save_on_train_epoch_end: save when the training epoch ends rather than after validation.
        save_on_exception: save when an exception ends the fit.
        enable_version_counter: add "-v1" and so on rather than overwrite an unrelated file.

    Attributes:
        best_model_path: file of the best checkpoint, "" before there is one.
        best_model_score: its metric.
        last_model_path: file of the last checkpoint.
        best_k_models: kept files and their metrics; empty without a `monitor`.
        kth_best_model_path: the kept file that goes next, `kth_value` its metric.
    """

    CHECKPOINT_JOIN_CHAR: ClassVar[str] = "-"
    CHECKPOINT_EQUALS_CHAR: ClassVar[str] = "="
    STARTING_VERSION: ClassVar[int] = 1
    is_monitor: ClassVar[bool] = True

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        verbose: bool = False,
        save_last: bool | Literal["link"] | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = False,
        save_weights_only: bool = False,
        mode: Literal["min", "max"] = "min",
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
    ) -> None:
        self.dirpath = None if dirpath is None else _absolute(dirpath)
        self.filename = filename
        self.monitor = monitor
        self.verbose = verbose
        self.save_last = save_last
        self.save_top_k = save_top_k
        self.save_weights_only = save_weights_only
        self.mode = mode
        self.auto_insert_metric_name = auto_insert_metric_name
        self.save_on_train_epoch_end = save_on_train_epoch_end
        self.save_on_exception = save_on_exception
        self.enable_version_counter = enable_version_counter
        self._every_n_train_steps = every_n_train_steps or 0
        self._train_time_interval = train_time_interval
        other = every_n_train_steps is not None or train_time_interval is not None
        self._every_n_epochs = (0 if other else 1) if every_n_epochs is None else every_n_epochs
        self._saved_at_s: float | None = None
        self.current_score: Tensor | None = None
        self.best_model_score: Tensor | None = None
        self.best_model_path = ""
        self.last_model_path = ""
        self.kth_best_model_path = ""
        self.kth_value = torch.tensor(float("inf") if mode == "min" else float("-inf"))
        self.best_k_models: dict[str, Tensor] = {}
        self._kept: dict[str, Tensor] = {}  # the same; without a metric, files and their steps
        self._goes_next = ""
        self._last_saved_step = 0  # there is nothing to save before the first step
        self._current_path = ""
        self._folder = self.dirpath
        self._is_kept_by_plugin = False
        self._check()

    def _check(self) -> None:
        problems = []
        if self.save_top_k < -1:
            problems.append(f"`save_top_k={self.save_top_k}` is less than -1; pass -1 to keep all")
        if self.monitor is None and self.save_top_k not in (-1, 0, 1):
            problems.append(f"`save_top_k={self.save_top_k}` has nothing to rank by; pass `monitor`, or -1, 0 or 1")
        if self.mode not in ("min", "max"):
            problems.append(f"`mode={self.mode!r}` is neither 'min' nor 'max'; pass one of them")
        if self._every_n_epochs < 0 or self._every_n_train_steps < 0:
            problems.append("`every_n_epochs` and `every_n_train_steps` count from 0; pass a number of at least 0")
        triggers = {
            "every_n_train_steps": bool(self._every_n_train_steps),
            "every_n_epochs": bool(self._every_n_epochs),
            "train_time_interval": self._train_time_interval is not None,
        }
        if sum(triggers.values()) > 1:
            given = " and ".join(name for name, on in triggers.items() if on)
            problems.append(f"{given} exclude each other; use one ModelCheckpoint for each")
        if problems:
            raise MisconfigurationException("ModelCheckpoint cannot work as asked: " + "; ".join(problems) + ".")

    # State

    @property
    def state_key(self) -> str:
        """Return a key that tells several checkpoint callbacks apart."""
        own: dict[str, Any] = {
            "monitor": self.monitor,
            "mode": self.mode,
            "every_n_train_steps": self._every_n_train_steps,
            "every_n_epochs": self._every_n_epochs,
            "train_time_interval": self._train_time_interval,
        }
        return f"ModelCheckpoint{own!r}"

    def state_dict(self) -> PlainState:
        """Return what is kept, as plain data and tensors."""
        return {
            "monitor": self.monitor,
            "best_model_score": self.best_model_score,
            "best_model_path": self.best_model_path,
            "current_score": self.current_score,
            "dirpath": self._folder,
            "best_k_models": dict(self.best_k_models),
            "kth_best_model_path": self.kth_best_model_path,
            "kth_value": self.kth_value,
            "kept": dict(self._kept),
            "last_model_path": self.last_model_path,
            "last_saved_step": self._last_saved_step,
        }

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Go on with the kept files, where they are in the folder of this run and still there."""
        self._last_saved_step = state_dict["last_saved_step"]
        if state_dict["dirpath"] != self._folder:
            # Another folder: its files are not ours to replace. Its best one is the best until this run saves.
            best = state_dict["best_model_path"]
            self.best_model_path = best if best and self._is_saved(best) else ""
            return
        self.best_model_score = state_dict["best_model_score"]
        self.best_model_path = state_dict["best_model_path"]
        self.last_model_path = state_dict["last_model_path"]
        self.current_score = state_dict["current_score"]
        kept: dict[str, Tensor] = state_dict["kept"] if "kept" in state_dict else state_dict["best_k_models"]
        self._kept = {path: score for path, score in kept.items() if self._is_saved(path)}
        self._find_kth_best()

    def _is_saved(self, path: str) -> bool:
        return self._is_kept_by_plugin or places.exists(path)

    # When

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Find the folder, the same on all processes, and remove what writers that were killed left in it."""
        self._is_kept_by_plugin = trainer.plugins.checkpoint_io is not None
        if stage != "fit":
            return
        if self.dirpath is None:
            self.dirpath = self._folder = places.join(trainer.log_dir or trainer.default_root_dir, "checkpoints")
        if trainer.is_global_zero and not trainer.length.fast_dev_run:
            with contextlib.suppress(OSError, CheckpointError):  # the first save says what is wrong with the folder
                places.remove_left_overs(self._root)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of `train_time_interval`."""
        self._saved_at_s = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Save after every n optimizer steps."""
        every, interval = self._every_n_train_steps, self._train_time_interval
        if every and trainer.global_step % every == 0:
            self._save(trainer)
        if interval is None or self._saved_at_s is None or trainer.train_state.window_batches:
            return
        is_due = time.monotonic() - self._saved_at_s >= interval.total_seconds()
        if trainer.strategy.is_distributed:
            [is_due] = map(bool, trainer.strategy.agree([is_due]))
        if is_due:
            self._saved_at_s = time.monotonic()
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after validation."""
        if trainer.is_fitting and not trainer.is_sanity_checking and not self._saves_at_epoch_end(trainer):
            self._save_epoch(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after a training epoch."""
        if self._saves_at_epoch_end(trainer):
            self._save_epoch(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what there is, where asked for; processes that failed apart from each other cannot."""
        together = not trainer.strategy.is_distributed or getattr(exception, "is_common", False)
        if self.save_on_exception and trainer.is_fitting and together:
            self._save_last(trainer, None, self.last_model_path)
            self._tell_loggers(trainer)

    def _saves_at_epoch_end(self, trainer: Trainer) -> bool:
        if self.save_on_train_epoch_end is not None:
            return self.save_on_train_epoch_end
        if not trainer.has_validation:
            return True
        validation = trainer.validation
        return validation.check_val_every_n_epoch == 1 and validation.val_check_interval == 1.0

    def _save_epoch(self, trainer: Trainer) -> None:
        every = self._every_n_epochs
        if every and (trainer.current_epoch + 1) % every == 0:
            self._save(trainer)

    # Saving

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step == self._last_saved_step or trainer.length.fast_dev_run:
            return
        metrics, last = trainer.callback_metrics, self.last_model_path
        score = self._score(trainer, metrics)
        written: str | None = None
        if self.monitor is None or score is not None:
            written = self._save_ranked(trainer, metrics, score)
        self._last_saved_step = trainer.global_step
        if self.save_last:
            self._save_last(trainer, written, last)
        self._tell_loggers(trainer)

    def _tell_loggers(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self)

    def _score(self, trainer: Trainer, metrics: dict[str, Tensor]) -> Tensor | None:
        if self.monitor is None:
            return None
        if self.monitor in metrics:
            return self._shared(trainer, metrics[self.monitor].detach().to("cpu"))
        message = (
            f"ModelCheckpoint ranks by `{self.monitor}`, which was not logged. Known metrics: {sorted(metrics)}. "
            f"Call `self.log({self.monitor!r}, ...)` or correct the name."
        )
        if trainer.has_validation and trainer.train_state.validated_at < 0:
            trainer.warn_once(f"Nothing is ranked before the first validation. {message}")
            return None
        raise MetricNotFoundError(message)

    def _shared(self, trainer: Trainer, score: Tensor) -> Tensor:
        """Return rank zero's score: on a score of its own a process might save alone, and wait for the others."""
        if not trainer.strategy.is_distributed:
            return score
        text = trainer.strategy.broadcast_text(float(score).hex())
        return torch.tensor(float.fromhex(text), dtype=score.dtype)

    def _save_ranked(self, trainer: Trainer, metrics: dict[str, Tensor], score: Tensor | None) -> str | None:
        if self.save_top_k == 0:
            return None
        if score is not None and torch.isnan(score):
            score = torch.tensor(float("inf") if self.mode == "min" else float("-inf"))
        is_full = self.save_top_k > 0 and len(self._kept) >= self.save_top_k
        if score is not None and is_full and not self._beats(score, self._kept[self._goes_next]):
            return None
        replaced = self._goes_next if is_full else ""
        path = self._new_path(trainer, metrics, self.best_model_path if self.monitor is None else replaced)
        rank = torch.tensor(float(trainer.global_step)) if score is None else score
        before, best = dict(self._kept), (self.best_model_path, self.best_model_score)
        if replaced:
            self._kept.pop(replaced, None)
        self._kept[path] = rank
        self.current_score = score
        self._find_kth_best()
        if score is None:
            self.best_model_path = path
        self._last_saved_step = trainer.global_step
        if self.save_last:
            self.last_model_path = self._last_path(trainer, metrics)
        try:
            self._write(trainer, path)
        except BaseException:
            self._kept = before
            self._find_kth_best()
            self.best_model_path, self.best_model_score = best
            raise
        if replaced and replaced != path and trainer.is_global_zero:
            remove_saved(trainer, replaced)
        return path

    def _beats(self, score: Tensor, other: Tensor) -> bool:
        return bool(score < other) if self.mode == "min" else bool(score > other)

    def _find_kth_best(self) -> None:
        """Find the best file and the one to be replaced next; without a metric, the newest is best."""
        if not self._kept:
            self._goes_next = ""
            return
        smallest, largest = (find(self._kept, key=lambda path: float(self._kept[path])) for find in (min, max))
        smaller_is_better = self.monitor is not None and self.mode == "min"
        best, worst = (smallest, largest) if smaller_is_better else (largest, smallest)
        self._goes_next = worst
        self.best_model_path = best
        if self.monitor is not None:
            self.best_k_models = dict(self._kept)
            self.kth_best_model_path, self.kth_value = worst, self._kept[worst]
            self.best_model_score = self._kept[best]

    def _new_path(self, trainer: Trainer, metrics: dict[str, Tensor], own: str) -> str:
        """Return the file to write; of those that are there, only `own` may be replaced."""
        name = self._file_name(self._name_values(trainer, metrics))
        taken = places.join(self._root, name)
        if not self.enable_version_counter:
            return taken
        if trainer.is_global_zero:
            taken = unused_path(taken, self.FILE_EXTENSION, self.STARTING_VERSION, own, self._kept)
        return trainer.strategy.broadcast_text(taken)

    def format_checkpoint_name(
        self,
        metrics: Mapping[str, Any],
        filename: str | None = None,
        ver: int | None = None,
        prefix: str | None = None,
    ) -> str:
        """Return the file for these values: in `dirpath`, if it is known.

        Args:
            metrics: values by name.
            filename: template, instead of this callback's own.
            ver: version that is added as "-v1".
            prefix: what the name begins with.
        """
        name = self._file_name(metrics, filename)
        if prefix:
            name = f"{prefix}{self.CHECKPOINT_JOIN_CHAR}{name}"
        if ver is not None:
            stem = name.removesuffix(self.FILE_EXTENSION)
            name = f"{stem}{self.CHECKPOINT_JOIN_CHAR}v{ver}{self.FILE_EXTENSION}"
        return name if self.dirpath is None else places.join(self.dirpath, name)

    def _file_name(self, metrics: Mapping[str, Any], filename: str | None = None) -> str:
        template = filename or self.filename or f"{{epoch}}{self.CHECKPOINT_JOIN_CHAR}{{step}}"
        equals = self.CHECKPOINT_EQUALS_CHAR if self.auto_insert_metric_name else None
        return format_checkpoint_name(template, metrics, equals) + self.FILE_EXTENSION

    @property
    def every_n_epochs(self) -> int:
        """Return every how many epochs it saves, 0 for never."""
        return self._every_n_epochs

    def to_yaml(self, filepath: str | Path | None = None) -> None:
        """Write the kept files and their metrics as YAML, by default to "best_k_models.yaml" in the folder."""
        path = places.join(self._root, "best_k_models.yaml") if filepath is None else places.normal(filepath)
        lines = [f"{json.dumps(kept)}: {float(score)!r}\n" for kept, score in self.best_k_models.items()]
        with places.written_whole(path) as file:
            file.write(("".join(lines) or "{}\n").encode())

    def _name_values(self, trainer: Trainer, metrics: dict[str, Tensor]) -> dict[str, Any]:
        return {**metrics, "epoch": trainer.current_epoch, "step": trainer.global_step}

    @property
    def _root(self) -> str:
        return self._folder or "."

    def _last_path(self, trainer: Trainer, metrics: dict[str, Tensor]) -> str:
        name = self._file_name(self._name_values(trainer, metrics), self.CHECKPOINT_NAME_LAST)
        return trainer.strategy.broadcast_text(places.join(self._root, name))

    def _save_last(self, trainer: Trainer, written: str | None, previous: str) -> None:
        path = self.last_model_path = self._last_path(trainer, trainer.callback_metrics)
        if written is None:
            self._write(trainer, path)
        else:
            repeat_saved(trainer, written, path, self.save_weights_only)
        is_moved = previous and previous != path and places.folder_of(previous) == places.folder_of(path)
        if is_moved and trainer.is_global_zero:
            remove_saved(trainer, previous)

    def _write(self, trainer: Trainer, path: str) -> None:
        trainer.save_checkpoint(path, self.save_weights_only)
        if self.verbose:
            trainer.print(f"Saved {path}")


def _absolute(folder: str | Path) -> str:
    """Return the folder's full path; a URL as it is."""
    place = places.normal(folder)
    return place if not place or places.is_remote(place) else os.path.realpath(Path(place).expanduser())
