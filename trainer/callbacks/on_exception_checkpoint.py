"""A checkpoint of a fit that an exception ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainer.callbacks.checkpoint import Checkpoint
from trainer.checkpoints import places
from trainer.checkpoints.newest import remove_saved
from trainer.errors import CheckpointError, MisconfigurationException, four_parts
from trainer.types import Stage

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class OnExceptionCheckpoint(Checkpoint):
    """Saves a checkpoint when an exception, Ctrl-C or SIGTERM ends a fit; a fit that ends well removes it.

    Where the checkpoint cannot be written, the exception says so in a note and stays what it was. With several
    processes only a SIGTERM is saved at, after which all end with the same batch: those that failed apart from each
    other hold no common state.

    Args:
        dirpath: folder of the file, or a URL that fsspec opens.
        filename: its name, without the extension.
    """

    def __init__(self, dirpath: str | Path, filename: str = "on_exception") -> None:
        if not filename:
            raise MisconfigurationException(
                four_parts("OnExceptionCheckpoint has no file name.", got=filename, expected="a name that is not empty",
                           remedy="Leave `filename` out for 'on_exception'.")
            )  # fmt: skip
        self.dirpath = dirpath
        self.filename = filename

    @property
    def state_key(self) -> str:
        """Return a key with the file's place."""
        return f"OnExceptionCheckpoint{{'dirpath': {str(self.dirpath)!r}, 'filename': {self.filename!r}}}"

    @property
    def ckpt_path(self) -> str:
        """Return the path of the file."""
        return places.join(places.normal(self.dirpath or "."), self.filename + self.FILE_EXTENSION)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what there is."""
        if not trainer.is_fitting:
            return
        if trainer.strategy.is_distributed and not getattr(exception, "is_common", False):
            exception.add_note("No checkpoint was saved: the processes failed apart from each other.")
            return
        try:
            trainer.save_checkpoint(self.ckpt_path)
        except (CheckpointError, OSError) as error:
            exception.add_note(f"No checkpoint was saved: {error}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Remove the file of an earlier attempt where this fit ended well."""
        if stage == "fit" and not trainer.interrupted and trainer.is_global_zero and places.exists(self.ckpt_path):
            remove_saved(trainer, self.ckpt_path)
