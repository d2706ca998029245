"""What users of Lightning import from its utilities."""

from __future__ import annotations

from trainer.utilities.combined_loader import CombinedLoader

__all__ = ["CombinedLoader"]
