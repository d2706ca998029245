"""Weights of training rows by group, so that a model learns from them as if groups were balanced.

Kamiran & Calders (2012, "Data preprocessing techniques for classification without discrimination", section 4.3) give a
row of group g and label y the weight P(g) P(y) / P(g, y): with it, group and label are independent in the weighted
rows. Inverse group frequency, 1 / (G P(g)), lets each of G groups count the same. Ours differs in that they are scaled
to a mean of 1, so that a step of training is as long as without weights, and that none is above a limit then.

Shapes: N training rows.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.errors import NotEnoughDataError
from components.mitigation.config import ReweighConfig

ARRAY = "group_weight"
"""Name of the array of weights, in the training split only."""
REWEIGHING = "reweighing.json"
"""What was weighed, in a dataset with weights; without ids and names of groups."""
DECIMALS = 3
CAUTION = (
    "In some places, and for some uses, law or policy restricts the use of a group attribute even in training: ask "
    "whoever is responsible before this model serves."
)


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights, and what is told of them."""

    weight_N: npt.NDArray[np.float32]
    """Mean 1."""
    groups: int
    """The unknown ones are a group among them, where there are any."""
    unknown: int
    """Rows of students whose group is not known."""
    limited: int
    """Rows whose weight was cut to the limit."""


def weights_of(
    group_N: Sequence[str | None] | npt.NDArray[np.object_],
    label_N: npt.NDArray[np.int64],
    config: ReweighConfig,
    block_N: npt.NDArray[np.int64] | None = None,
) -> Weights:
    """Return the weight of each training row.

    Args:
        group_N: each row's group; None where it is not known, which is a group of its own frequency.
        label_N: each row's class.
        config: which weights.
        block_N: rows of different blocks (prompts, say) are weighed apart; None for one block.

    Raises:
        NotEnoughDataError: all rows are of one group.
    """
    unknown = np.array([g is None for g in group_N], np.bool_)
    names, group = np.unique(np.array(["" if g is None else f"={g}" for g in group_N], np.str_), return_inverse=True)
    if len(names) < 2:
        raise NotEnoughDataError(
            f"preprocess.reweigh.by = {config.by!r} has one group in the training split, so there is nothing to weigh. "
            "Name an attribute with at least two groups, or leave it out."
        )
    blocks = np.zeros(len(group), np.int64) if block_N is None else block_N
    weight, limited = np.empty(len(group)), 0
    for block in np.unique(blocks):
        own = np.flatnonzero(blocks == block)
        found = _cells if config.method == "group_and_label" else _groups
        plain = found(group[own], label_N[own])
        weight[own] = _limited(plain / plain.mean(), config.max_weight)
        limited += int((weight[own] < plain / plain.mean() * (1.0 - 1e-9)).sum())
    return Weights(weight.astype(np.float32), len(names), int(unknown.sum()), limited)


def classes_of(score_N: npt.NDArray[np.float64], most: int = 5) -> npt.NDArray[np.int64]:
    """Return the class of each score: scores themselves, or, where there are more than `most`, ranges of them.

    Ranges hold about the same number of rows; equal scores are never parted.
    """
    values, place, counts = np.unique(score_N, return_inverse=True, return_counts=True)
    if len(values) <= most:
        return place.astype(np.int64)
    middle = np.cumsum(counts) - counts / 2.0
    found: npt.NDArray[np.int64] = np.floor(middle / len(score_N) * most).astype(np.int64)[place]
    return found


def write_weights(target: Path, found: Weights, config: ReweighConfig, split: str) -> None:
    """Write the weights into a dataset's folder, and what is told of them."""
    np.save(target / split / f"{ARRAY}.npy", found.weight_N)
    told: dict[str, JsonValue] = {
        "format": 1,
        "attribute": config.by,
        "method": config.method,
        "groups": found.groups,
        "rows": len(found.weight_N),
        "unknown_rows": found.unknown,
        "smallest_weight": round(float(found.weight_N.min()), DECIMALS),
        "largest_weight": round(float(found.weight_N.max()), DECIMALS),
        "max_weight": config.max_weight,
        "limited_rows": found.limited,
    }
    (target / REWEIGHING).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def reweighing_of(folder: Path) -> dict[str, Any]:  # Any: parsed JSON
    """Return `{"reweighing": ...}` for `metrics.json` of a dataset that has weights, else nothing."""
    path = folder / REWEIGHING
    if not path.is_file():
        return {}
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {"reweighing": told | {"caution": CAUTION}}


def _cells(group: npt.NDArray[np.intp], label: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    _, label = np.unique(label, return_inverse=True)
    cell = group * (int(label.max()) + 1) + label
    rows, of_group, of_label, of_cell = (float(len(group)), *map(np.bincount, (group, label, cell)))
    found: npt.NDArray[np.float64] = of_group[group] * of_label[label] / (rows * of_cell[cell])
    return found


def _limited(weight: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.float64]:
    """Return weights of mean 1, none above the limit: what is cut lowers the mean, and with it what may stay."""
    above = np.zeros(len(weight), np.bool_)
    while (more := (weight > limit * (1.0 + 1e-9)) & ~above).any():
        above |= more
        # k rows at the limit and the rest scaled so that all have a mean of 1
        rest = weight[~above]
        weight = np.where(above, limit, weight * (len(weight) - limit * above.sum()) / rest.sum())
    return weight


def _groups(group: npt.NDArray[np.intp], label: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    counts = np.bincount(group)
    found: npt.NDArray[np.float64] = len(group) / (int((counts > 0).sum()) * counts[group])
    return found
