"""The plugins of a trainer, apart from their classes: most trainers have none and load none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.plugins.io import CheckpointIO
    from trainer.plugins.layer_sync import LayerSync
    from trainer.plugins.precision import Precision


@dataclass(slots=True, kw_only=True)
class Plugins:
    """The plugins of a trainer, one of each kind at most."""

    precision: Precision | None = None
    checkpoint_io: CheckpointIO | None = None
    layer_sync: LayerSync | None = None
