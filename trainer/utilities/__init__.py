"""What users of Lightning import from its utilities; everything is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.data.transfer import move_to_device as move_data_to_device
    from trainer.model.hyperparameters import AttributeDict
    from trainer.utilities.combined_loader import CombinedLoader
    from trainer.utilities.enums import GradClipAlgorithmType
    from trainer.utilities.grads import grad_norm
    from trainer.utilities.model_summary import ModelSummary, summarize
    from trainer.utilities.parameter_tying import find_shared_parameters, set_shared_parameters
    from trainer.utilities.parsing import is_picklable
    from trainer.utilities.rank_zero import rank_zero_deprecation, rank_zero_info, rank_zero_only, rank_zero_warn
    from trainer.utilities.throughput import Throughput, get_available_flops, measure_flops

__all__ = [
    "AttributeDict",
    "CombinedLoader",
    "GradClipAlgorithmType",
    "ModelSummary",
    "Throughput",
    "find_shared_parameters",
    "get_available_flops",
    "grad_norm",
    "is_picklable",
    "measure_flops",
    "move_data_to_device",
    "rank_zero_deprecation",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
    "set_shared_parameters",
    "summarize",
]

_PLACES = {
    "AttributeDict": "trainer.model.hyperparameters",
    "CombinedLoader": "trainer.utilities.combined_loader",
    "GradClipAlgorithmType": "trainer.utilities.enums",
    "ModelSummary": "trainer.utilities.model_summary",
    "Throughput": "trainer.utilities.throughput",
    "find_shared_parameters": "trainer.utilities.parameter_tying",
    "get_available_flops": "trainer.utilities.throughput",
    "grad_norm": "trainer.utilities.grads",
    "is_picklable": "trainer.utilities.parsing",
    "measure_flops": "trainer.utilities.throughput",
    "rank_zero_deprecation": "trainer.utilities.rank_zero",
    "rank_zero_info": "trainer.utilities.rank_zero",
    "rank_zero_only": "trainer.utilities.rank_zero",
    "rank_zero_warn": "trainer.utilities.rank_zero",
    "set_shared_parameters": "trainer.utilities.parameter_tying",
    "summarize": "trainer.utilities.model_summary",
}


def __getattr__(name: str) -> object:
    if name == "move_data_to_device":
        return import_module("trainer.data.transfer").move_to_device
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'trainer.utilities' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    return sorted(__all__)
