"""Predicts every response of one split with the trained model and puts the answers in the order of the arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.app import Application
from components.errors import SchemaError
from components.evaluate.predict import joined, misplaced, predicted_batches
from components.writing.evaluate.rows import Predicted

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What the model says of N responses, in the order of the split's arrays."""

    score: Predicted
    traits: Floats | None
    """(N, T) on the rubric's scale, NaN where there is none; None where the model gives no traits."""


def predict_split(
    application: Application, data_folder: Path, checkpoint_folder: Path, split: str, *, rows: int, traits: int
) -> Predictions:
    """Return the predictions of the split's responses; see `GradingModel` and `GradingData`.

    Raises:
        SchemaError: a response was predicted twice, not at all, or does not exist; or an output is no number, or an
            interval has its ends the wrong way round.
    """
    return gathered(predicted_batches(application, data_folder, checkpoint_folder, split), rows=rows, traits=traits)


def gathered(batches: Sequence[Mapping[str, Any]], *, rows: int, traits: int) -> Predictions:
    """Return the predictions from batches of tensors.

    Args:
        batches: what `predict_step` returned.
        rows: of the split.
        traits: how many the dataset has.

    Raises:
        SchemaError: as `predict_split` says, all counted in one message.
    """
    batches = list(batches)
    index = joined(batches, "index").astype(np.int64)
    given = [n for n in ("raw", "low", "high", "label") if all(n in batch for batch in batches)]
    has_interval = {"low", "high"} <= set(given)
    values = {name: joined(batches, name).astype(np.float64) for name in given}
    kinds: Floats | None = None
    if traits and batches and all("traits" in batch for batch in batches):
        flat = joined(batches, "traits").astype(np.float64)
        kinds = flat.reshape(-1, traits) if flat.size == len(index) * traits else np.zeros((0, traits))
    lengths = {n: len(v) for n, v in values.items()} | ({} if kinds is None else {"traits": len(kinds)})
    uneven = [f"{length} of {n}" for n, length in lengths.items() if length != len(index)]
    if "raw" not in given or uneven:
        found = ", ".join(uneven) if uneven else "no raw"
        raise SchemaError(
            f"predict_step returned {len(index)} indices and {found}; expected one raw score for each index, and as "
            "many of low, high, label and traits where it gives them. Correct the model's predict_step."
        )
    problems = misplaced(index, rows)
    for name, array in values.items():
        problems[f"have no finite {name}"] = int((~np.isfinite(array)).sum())
    if has_interval:
        problems["have an interval whose low is above its high"] = int((values["low"] > values["high"]).sum())
    if any(problems.values()):
        listed = ", ".join(f"{count} {what}" for what, count in problems.items() if count)
        raise SchemaError(
            f"Of {rows} responses, {listed}; expected each response once, with numbers on the rubric's scale. Let "
            "for_prediction give every response once, and correct the model's predict_step."
        )

    def placed(array: Floats) -> Floats:
        out = np.empty_like(array)
        out[index] = array
        return out

    return Predictions(
        score=Predicted(
            raw=placed(values["raw"]),
            low=placed(values["low"]) if has_interval else None,
            high=placed(values["high"]) if has_interval else None,
            label=placed(values["label"]) if "label" in values else None,
        ),
        traits=None if kinds is None else placed(kinds),
    )
