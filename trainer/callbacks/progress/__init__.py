"""Progress displays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.callbacks.progress.progress_bar import ProgressBar
from trainer.callbacks.progress.tqdm_progress import TQDMProgressBar

if TYPE_CHECKING:
    from trainer.callbacks.progress.rich_progress import RichProgressBar, RichProgressBarTheme

__all__ = ["ProgressBar", "RichProgressBar", "RichProgressBarTheme", "TQDMProgressBar"]


def __getattr__(name: str) -> object:
    if name in ("RichProgressBar", "RichProgressBarTheme"):
        from trainer.callbacks.progress import rich_progress

        return getattr(rich_progress, name)
    raise AttributeError(f"module 'trainer.callbacks.progress' has no attribute {name!r}; it has {__all__}")
