"""Tools that users import by name; each is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.utilities.grads import grad_norm
    from trainer.utilities.model_summary import ModelSummary, summarize
    from trainer.utilities.throughput import Throughput, get_available_flops, measure_flops

_PLACES = {
    "ModelSummary": "trainer.utilities.model_summary",
    "Throughput": "trainer.utilities.throughput",
    "get_available_flops": "trainer.utilities.throughput",
    "grad_norm": "trainer.utilities.grads",
    "measure_flops": "trainer.utilities.throughput",
    "summarize": "trainer.utilities.model_summary",
}

__all__ = [
    "ModelSummary",
    "Throughput",
    "get_available_flops",
    "grad_norm",
    "measure_flops",
    "summarize",
]


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'trainer.utilities' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    return sorted(__all__)
