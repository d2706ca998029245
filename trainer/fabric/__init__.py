"""Fabric: devices, precision and processes for a training loop that the user writes."""

from __future__ import annotations

from trainer.fabric.fabric import Fabric
from trainer.fabric.wrappers import is_wrapped
from trainer.seed import seed_everything

__all__ = ["Fabric", "is_wrapped", "seed_everything"]
