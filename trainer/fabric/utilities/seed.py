"""Seeding, under the path that Lightning gives it."""

from trainer.seed import seed_everything

__all__ = ["seed_everything"]
