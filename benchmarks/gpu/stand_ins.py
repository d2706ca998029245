"""Simple forms of packages that this repository imports and a bare machine may lack, and what is imported with them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt


def roc_auc(right: npt.NDArray[Any], scores: npt.NDArray[Any]) -> float:
    """Return the area under the ROC curve: how often a right answer has the higher score, ties counting half."""
    order = np.argsort(scores, kind="stable")
    values, counts = np.unique(scores[order], return_counts=True)
    ranks = np.repeat(np.cumsum(counts) - (counts - 1) / 2, counts)
    is_right = np.asarray(right, bool)[order]
    positive, negative = int(is_right.sum()), int((~is_right).sum())
    assert len(values) > 0 < positive * negative, "both answers have to occur"
    return float((ranks[is_right].sum() - positive * (positive + 1) / 2) / (positive * negative))


@contextlib.contextmanager
def stand_in() -> Iterator[None]:
    """Give simple forms of two packages, inside the block, that are imported there and may be missing here."""
    made = []
    for name, attribute, value in (("tqdm", "tqdm", object), ("sklearn.metrics", "roc_auc_score", roc_auc)):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            continue
        parts = name.split(".")
        for path in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
            sys.modules[path] = types.ModuleType(path)
            made.append(path)
        setattr(sys.modules[name], attribute, value)
    yield
    for path in made:
        del sys.modules[path]  # others look for the package, torch among them


with stand_in():
    import trainer as L
    from components.sequences.loader import WindowLoader
    from components.sequences.windows import Windows
    from components.simulate.config import SimulateConfig
    from components.simulate.model import simulate_answers
    from flows.knowledge_tracing.model import DeepKnowledgeTracing

    L.Trainer  # noqa: B018 - names of the trainer are imported when they are first asked for

__all__ = [
    "DeepKnowledgeTracing",
    "L",
    "SimulateConfig",
    "WindowLoader",
    "Windows",
    "roc_auc",
    "simulate_answers",
    "stand_in",
]
