"""Files of checkpoints in the hands of a trainer: removed, repeated and found where its plugin keeps them."""

from __future__ import annotations

import os
import re
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.checkpoints import places
from trainer.checkpoints.files import WRITERS, link_checkpoint, remove_checkpoint
from trainer.checkpoints.renaming import CORRUPT, flush_folder

if TYPE_CHECKING:
    from trainer.plugins.io import AsyncCheckpointIO
    from trainer.trainer import Trainer


def remove_saved(trainer: Trainer, path: str) -> None:
    """Remove a checkpoint, through the checkpoint plugin where there is one; for rank zero alone."""
    plugin = trainer.plugins.checkpoint_io
    writer = _background(trainer)
    if writer is not None:
        writer.after(partial(remove_checkpoint, path))
    elif plugin is None:
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
    writer = _background(trainer)
    if writer is not None:
        if trainer.is_global_zero:
            writer.after(partial(places.give_second_name, places.normal(written), places.normal(path)))
        return
    if trainer.plugins.checkpoint_io is not None:
        if trainer.is_global_zero:
            for wait in list(WRITERS):
                wait()
            has_file = "yes" if places.exists(written) else ""
        has_file = trainer.strategy.broadcast_text(has_file)
    if not has_file:
        trainer.save_checkpoint(path, weights_only)
    else:
        from trainer.checkpoints.sharded.exchange import exchange_of  # late: most runs repeat nothing

        exchange_of(trainer.strategy).together(
            lambda: link_checkpoint(written, path) if trainer.is_global_zero else None
        )


def _background(trainer: Trainer) -> AsyncCheckpointIO | None:
    """Return what writes sharded checkpoints beside the steps: what follows them must not wait for them."""
    if not trainer.strategy.saves_sharded:
        return None
    from trainer.plugins.io import AsyncCheckpointIO  # late: most trainers have no plugins

    plugin = trainer.plugins.checkpoint_io
    return plugin if isinstance(plugin, AsyncCheckpointIO) else None


def newest_checkpoint(trainer: Trainer) -> str:
    """Return the newest "last" checkpoint in the folders of the checkpoint callbacks, else the newest of any name.

    "" where there is none. Where several were written at one moment, the name with the greatest numbers wins.
    """
    lasts: list[tuple[float, list[int], str]] = []
    others: list[tuple[float, list[int], str]] = []
    for callback in trainer.checkpoint_callbacks:
        found = [] if callback.dirpath is None else _saved_in(callback.dirpath, callback.FILE_EXTENSION)
        listed = {path for path, _ in found}
        for path in (callback.last_model_path, callback.best_model_path):
            if path and path not in listed and is_saved(trainer, path):
                near = dict(_saved_in(places.folder_of(path), callback.FILE_EXTENSION))
                found.append((path, near.get(path, 0.0)))
        for path, changed in found:
            name = places.name_of(path)
            numbers = [int(digits) for digits in re.findall(r"\d+", name)]
            (lasts if name.startswith(callback.CHECKPOINT_NAME_LAST) else others).append((changed, numbers, path))
    return max(lasts or others)[2] if lasts or others else ""


def _saved_in(folder: str | Path, extension: str) -> list[tuple[str, float]]:
    return places.files_in(folder, extension) + places.folders_with_times(folder, extension)


def set_aside(path: str) -> str:
    """Rename a damaged checkpoint, so that it is neither taken nor replaced; return its new name."""
    place = Path(path)
    aside = place.with_name(f"{CORRUPT}{place.name}-{uuid.uuid4().hex[:8]}")
    os.replace(place, aside)
    flush_folder(place.parent)
    return str(aside)
