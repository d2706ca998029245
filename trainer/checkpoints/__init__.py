"""Files of a whole run: written whole, verified when read, and gone on from exactly."""

from trainer.checkpoints.consolidation import consolidate
from trainer.checkpoints.files import load_checkpoint, save_checkpoint

__all__ = ["consolidate", "load_checkpoint", "save_checkpoint"]
