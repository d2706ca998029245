"""What all checkpoint callbacks have in common."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from trainer.callback import Callback


class Checkpoint(Callback):
    """Base of callbacks that save checkpoints. They run after all others, so that they save what those have done.

    Attributes:
        dirpath: folder of the files, None while it is not known.
        best_model_path: file of the best checkpoint, "" where there is none.
        last_model_path: file of the last checkpoint, "" where there is none.
    """

    CHECKPOINT_NAME_LAST: ClassVar[str] = "last"
    FILE_EXTENSION: ClassVar[str] = ".ckpt"

    dirpath: str | Path | None = None
    best_model_path: str = ""
    last_model_path: str = ""
