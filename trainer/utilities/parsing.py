"""Hyperparameters as attributes, and whether something can be pickled."""

from __future__ import annotations

import pickle

from trainer.model.hyperparameters import AttributeDict

__all__ = ["AttributeDict", "is_picklable"]


def is_picklable(value: object) -> bool:
    """Return whether `value` can be pickled."""
    try:
        pickle.dumps(value)
    except (pickle.PickleError, AttributeError, RuntimeError, TypeError):
        return False
    return True
