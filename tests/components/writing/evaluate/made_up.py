"""Made-up scored writing on disk as the dataset that evaluation reads, and predictions for it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from components.artifacts import Lineage, TextDataset
from components.stage import PENDING
from components.store import Store

Floats = npt.NDArray[np.float64]

PROMPTS: tuple[dict[str, Any], ...] = (
    {"prompt": "1", "low": 0, "high": 3, "step": 1.0, "traits": {}},
    {"prompt": "letter", "low": 2, "high": 12, "step": 1.0, "traits": {"style": {"low": 0, "high": 3}}},
    {"prompt": "3", "low": 1, "high": 3, "step": 0.5, "traits": {}},
)


@dataclass(kw_only=True)
class Responses:
    """One split: columns of `responses.parquet` and arrays, by name."""

    prompt: npt.NDArray[np.int64]
    score: Floats
    student: Sequence[str] | None = None
    raters: Mapping[str, Floats] = field(default_factory=dict)
    features: Floats | None = None
    traits: Floats | None = None
    abstained: Sequence[str | None] | None = None


def simulated(rows: int, seed: int, prompts: int = 3) -> tuple[Responses, Floats]:
    """Return scored responses with two raters, lengths and one trait, and each response's true score.

    The score of prompt `letter` is the sum of its two ratings, that of the others their mean, a half going up.
    """
    source = np.random.default_rng(seed)
    prompt = source.integers(0, prompts, rows)
    low, high, step = (np.array([float(p[name]) for p in PROMPTS])[prompt] for name in ("low", "high", "step"))
    share = np.clip(source.normal(0.5, 0.22, rows), 0, 1)
    noisy = np.clip(share[:, None] + source.normal(0, 0.1, (rows, 2)), 0, 1)
    steps = np.rint(noisy * ((high - low) / step)[:, None])
    ratings = low[:, None] + steps * step[:, None]
    is_sum = prompt == 1
    ratings[is_sum] = 1 + np.rint(noisy[is_sum] * 5)
    mean = low + np.floor((ratings.mean(axis=1) - low) / step + 0.5) * step
    score = np.where(is_sum, ratings.sum(axis=1), mean)
    style = np.where(is_sum, np.clip(np.rint(share * 3 + source.normal(0, 0.4, rows)), 0, 3), np.nan)
    words = 50 * np.exp(share + source.normal(0, 0.3, rows))
    return Responses(
        prompt=prompt,
        score=score,
        raters={"rater_1": ratings[:, 0], "rater_2": ratings[:, 1]},
        features=np.stack([np.log(words), source.normal(size=rows)], axis=1),
        traits=style[:, None],
    ), low + share * (high - low)


def write_dataset(
    store: Store,
    folder: Path,
    splits: Mapping[str, Responses],
    *,
    prompts: Sequence[Mapping[str, Any]] = PROMPTS,
    features: Sequence[str] = ("log_words", "noise"),
    traits: Sequence[str] = ("style",),
) -> TextDataset:
    """Publish the splits as a TextDataset of the application `fake_grading`."""
    tables = []
    for name, found in splits.items():
        (folder / name).mkdir(parents=True)
        rows = len(found.score)
        arrays = {"prompt": found.prompt.astype(np.int32), "score": found.score.astype(np.float32)}
        if found.features is not None:
            arrays["features"] = found.features.astype(np.float32)
        if found.traits is not None:
            arrays["traits"] = found.traits.astype(np.float32)
        for array, values in arrays.items():
            np.save(folder / name / f"{array}.npy", values)
        ids = np.array([p["prompt"] for p in prompts])
        table = pl.DataFrame(
            {
                "response": [f"{name[:2]}{at:030d}" for at in range(rows)],
                "student": list(found.student) if found.student else [f"{name[:2]}s{at:029d}" for at in range(rows)],
                "prompt": ids[found.prompt],
                "split": [name] * rows,
                "abstained": pl.Series(found.abstained or [None] * rows, dtype=pl.String),
            }
        )
        table = table.with_columns(pl.Series(rater, values).fill_nan(None) for rater, values in found.raters.items())
        tables.append(table)
    pl.concat(tables, how="diagonal").write_parquet(folder / "responses.parquet")
    (folder / "codec.json").write_text(json.dumps({"prompts": list(prompts), "features": list(features)}))
    draft = TextDataset(
        ref=PENDING,
        lineage=Lineage(stage="preprocess"),
        application="fake_grading",
        responses={},
        students={},
        prompts=tuple(p["prompt"] for p in prompts),
        traits=tuple(traits),
        arrays=(),
        protocol="scored_writing",
    )
    return store.publish(draft, folder)
