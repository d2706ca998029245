"""Seeding, and blocks that leave the random generators as they were."""

from trainer.seed import isolated_rng as isolate_rng
from trainer.seed import seed_everything

__all__ = ["isolate_rng", "seed_everything"]
