"""Compares an ONNX model with torch: on shapes that the export never saw, and on real batches."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.app import Application
from components.artifacts import JsonValue
from components.errors import ExportError
from components.export.graph import STEPS, axes_of
from components.inference import open_session

LONGEST = 200
"""Most steps of made-up inputs where the dataset names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityCheck:
    """One comparison."""

    inputs: str
    batch: int
    steps: int
    max_abs_error: float

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        return {"inputs": self.inputs, "batch": self.batch, "steps": self.steps, "max_abs_error": self.max_abs_error}


def unseen_shapes(longest: int) -> tuple[tuple[int, int], ...]:
    """Return (batch, steps) pairs: the smallest, the longest, and some between."""
    pairs = ((1, 1), (1, longest), (2, longest), (17, 1), (7, 2), (4, 33), (64, 50), (5, max(1, longest - 1)))
    return tuple(dict.fromkeys((batch, min(steps, longest)) for batch, steps in pairs))


def real_batches(application: Application, network: Any, dataset: Path, count: int) -> list[dict[str, Tensor]]:
    """Return the first `count` validation batches, as the exported graph takes them, and their mask, if any."""
    loader = application.part(application.data).for_prediction(dataset, "valid").predict_dataloader()
    kinds = {name: value.dtype for name, value in network.export_inputs(2, 2, seed=0).items()}
    return [
        {
            **{name: batch[name].to(kinds[name]) for name in network.input_names},
            **({"mask": batch["mask"]} if "mask" in batch else {}),
        }
        for batch in islice(loader, count)
    ]


def compare(
    network: Any, path: Path, real: Iterable[dict[str, Tensor]], longest: int
) -> list[ParityCheck]:  # Any: an Exportable module
    """Return one check per shape and per real batch; where there is a mask, only unpadded steps are compared."""
    session = open_session(path)
    taken = [i.name for i in session.get_inputs()]

    def error(inputs: dict[str, Tensor], mask: Tensor | None) -> float:
        with torch.inference_mode():
            expected = network(*(inputs[name] for name in network.input_names))
        expected = expected if isinstance(expected, tuple) else (expected,)
        got = session.run(list(network.output_names), {name: inputs[name].numpy() for name in taken})
        worst = 0.0
        for ours, theirs in zip(expected, got, strict=True):
            difference = np.abs(ours.numpy().astype(np.float64) - theirs)
            worst = max(worst, float((difference[mask.numpy()] if mask is not None else difference).max()))
        return worst

    checks = [
        ParityCheck(
            inputs="made up",
            batch=b,
            steps=t,
            max_abs_error=error(network.export_inputs(b, t, seed=b * 1000 + t), None),
        )
        for b, t in unseen_shapes(longest)
    ]
    for batch in real:
        inputs = {name: value for name, value in batch.items() if name != "mask"}
        mask = batch.get("mask")
        batch_size = len(next(iter(inputs.values())))
        steps = max((int(v.shape[1]) for name, v in inputs.items() if STEPS in axes_of(network, name)), default=1)
        checks.append(
            ParityCheck(inputs="validation", batch=batch_size, steps=steps, max_abs_error=error(inputs, mask))
        )
    return checks


def require(checks: Iterable[ParityCheck], tolerance: float, what: str, remedy: str) -> None:
    """Make sure that no check is off by more than `tolerance`, or by something that is no number.

    Raises:
        ExportError: names the worst checks.
    """
    bad = [c for c in checks if not c.max_abs_error <= tolerance]
    if bad:
        shown = ", ".join(f"{c.inputs} ({c.batch}, {c.steps}): {c.max_abs_error:.2e}" for c in bad[:5])
        raise ExportError(
            f"Answers of {what} differ from torch's by more than {tolerance:g} in {len(bad)} check(s): {shown}. "
            f"{remedy}"
        )
