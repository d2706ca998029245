"""Files of checkpoints in the hands of a trainer: removed, repeated and found where its plugin keeps them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trainer.checkpoints import places
from trainer.checkpoints.files import WRITERS, link_checkpoint, remove_checkpoint

if TYPE_CHECKING:
    from trainer.trainer import Trainer


def remove_saved(trainer: Trainer, path: str) -> None:
    """Remove a checkpoint, through the checkpoint plugin where there is one; for rank zero alone."""
    plugin = trainer.plugins.checkpoint_io
    if plugin is None:
        remove_checkpoint(path)
    else:
        plugin.remove_checkpoint(path)


def is_saved(trainer: Trainer, path: str) -> bool:
    """Return whether there is a checkpoint at `path`; a plugin that keeps its own elsewhere is believed."""
    return trainer.plugins.checkpoint_io is not None or places.exists(path)


def repeat_saved(trainer: Trainer, written: str, path: str, weights_only: bool) -> None:
    """Give the checkpoint just saved as `written` the second name `path`; all processes call it.

    Where a plugin keeps checkpoints in another way than as files of these names, it is saved a second time.
    """
    has_file = "yes"
    if trainer.plugins.checkpoint_io is not None:
        if trainer.is_global_zero:
            for wait in list(WRITERS):
                wait()
            has_file = "yes" if places.exists(written) else ""
        has_file = trainer.strategy.broadcast_text(has_file)
    if not has_file:
        trainer.save_checkpoint(path, weights_only)
    elif trainer.is_global_zero:
        link_checkpoint(written, path)


def newest_checkpoint(trainer: Trainer) -> str:
    """Return the newest "last" checkpoint in the folders of the checkpoint callbacks, else the newest of any name.

    "" where there is none. Where several were written at one moment, the name with the greatest numbers wins.
    """
    lasts: list[tuple[float, list[int], str]] = []
    others: list[tuple[float, list[int], str]] = []
    for callback in trainer.checkpoint_callbacks:
        found = [] if callback.dirpath is None else places.files_in(callback.dirpath, callback.FILE_EXTENSION)
        listed = {path for path, _ in found}
        for path in (callback.last_model_path, callback.best_model_path):
            if path and path not in listed and is_saved(trainer, path):
                near = dict(places.files_in(places.folder_of(path), callback.FILE_EXTENSION))
                found.append((path, near.get(path, 0.0)))
        for path, changed in found:
            name = places.name_of(path)
            numbers = [int(digits) for digits in re.findall(r"\d+", name)]
            (lasts if name.startswith(callback.CHECKPOINT_NAME_LAST) else others).append((changed, numbers, path))
    return max(lasts or others)[2] if lasts or others else ""
