"""One split of a TextDataset as its files hold it, and what evaluation asks of a grading application.

Of the dataset: `codec.json` with `prompts`, a list in the order of the indices in `prompt.npy` of `prompt`, `low`,
`high`, `step` (1 where it is left out) and perhaps `traits` (name -> `low`, `high`); and `features`, the names of the
columns of `features.npy`. `responses.parquet` with response, student, prompt, split, in the order of the arrays; where
the source has them `rater_1`, `rater_2`, ...; and where the codec refuses to grade a response, its reason in
`abstained`.

Of the application: `GradingModel` and `GradingData`.

Shapes: N responses of a split, F features, K raters, T traits.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from components.errors import SchemaError
from components.writing.scale import PromptScale, RowScales, prompt_scales
from components.writing.schema import RATER, RESPONSES

CODEC = "codec.json"
COLUMNS = ("response", "student", "prompt", "split")
LENGTH = "log_words"
"""Name of the feature that a baseline of length alone is fitted on."""

Floats = npt.NDArray[np.float64]


class GradingModel(Protocol):
    """What evaluation calls of an application's model."""

    @classmethod
    def load_from_checkpoint(cls, path: Path) -> Self:
        """Return the trained model."""

    def predict_step(self, batch: Any, batch_idx: int) -> Mapping[str, Any]:  # Any: the application's batch; tensors
        """Return `index` (B,), rows of the split; `raw` (B,) on the rubric's own scale, not rounded.

        Also, where the model has them: `low` and `high` (B,), the ends of the interval of the human score, on the same
        scale; `label` (B,), the score to give where that is not the nearest to `raw`; and `traits` (B, T) in the order
        of the dataset's traits, NaN where a prompt has no such trait.
        """


class GradingData(Protocol):
    """What evaluation calls of an application's data class."""

    @classmethod
    def for_prediction(cls, folder: Path, split: str) -> Self:
        """Return what gives every response of the split once, in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The responses of one split."""

    table: pl.DataFrame
    """(N,) response, student, prompt, and what else `responses.parquet` holds."""
    prompt: npt.NDArray[np.int64]
    """(N,) indices of `scales`."""
    score: Floats
    """(N,) on the rubric's scale."""
    traits: Floats
    """(N, T) NaN where there is none."""
    length: Floats | None
    """(N,) the feature `LENGTH`; None where the dataset has none of this name."""
    scales: tuple[PromptScale, ...]

    @property
    def rows(self) -> int:
        """N."""
        return len(self.score)

    @property
    def ratings(self) -> Floats:
        """(N, K) single raters' scores, NaN where there is none."""
        names = sorted((c for c in self.table.columns if c.startswith(RATER)), key=lambda c: int(c.removeprefix(RATER)))
        if not names:
            return np.zeros((self.rows, 0))
        return np.asarray(self.table.select(pl.col(names).cast(pl.Float64).fill_null(np.nan)).to_numpy(), np.float64)

    @property
    def abstained(self) -> pl.Series:
        """(N,) why the codec refuses to grade a response; null where it does not."""
        if "abstained" in self.table.columns:
            return self.table["abstained"].cast(pl.String)
        return pl.Series("abstained", [None] * self.rows, dtype=pl.String)


def read_split(folder: Path, name: str) -> Split:
    """Return one split of the dataset in `folder`.

    Raises:
        SchemaError: a file or column is missing, the files do not fit together, or a score is outside its rubric.
    """
    missing = [n for n in (CODEC, RESPONSES, f"{name}/prompt.npy", f"{name}/score.npy") if not (folder / n).is_file()]
    if missing:
        raise SchemaError(f"The text dataset has no {', '.join(missing)}. Run preprocess again.")
    codec = json.loads((folder / CODEC).read_text(encoding="utf-8"))
    scales = prompt_scales(codec.get("prompts") or ())
    table = pl.read_parquet(folder / RESPONSES)
    absent = [c for c in COLUMNS if c not in table.columns]
    if absent:
        raise SchemaError(f"{RESPONSES} of the text dataset has no {', '.join(absent)}. Run preprocess again.")
    table = table.filter(pl.col("split") == name).drop("split")
    prompt = np.asarray(np.load(folder / name / "prompt.npy"), np.int64)
    score = np.asarray(np.load(folder / name / "score.npy"), np.float64)
    traits, features = (_optional(folder / name / f"{n}.npy", len(score)) for n in ("traits", "features"))
    _check(name, table, prompt, score, scales, {"traits": traits, "features": features})
    names = list(codec.get("features") or ())
    has_length = LENGTH in names and features.shape[1] == len(names)
    return Split(
        table=table,
        prompt=prompt,
        score=RowScales.of([s.score for s in scales], prompt).snapped(score),
        traits=traits,
        length=features[:, names.index(LENGTH)] if has_length else None,
        scales=scales,
    )


def _optional(path: Path, rows: int) -> Floats:
    if not path.is_file():
        return np.zeros((rows, 0))
    found = np.asarray(np.load(path), np.float64)
    return found.reshape(len(found), -1)


def _check(
    name: str,
    table: pl.DataFrame,
    prompt: npt.NDArray[np.int64],
    score: Floats,
    scales: tuple[PromptScale, ...],
    others: Mapping[str, Floats],
) -> None:
    lengths = {"prompt": len(prompt), "score": len(score)} | {n: len(a) for n, a in others.items()}
    problems = [f"{n} has {length} rows" for n, length in lengths.items() if length != table.height]
    outside = int(((prompt < 0) | (prompt >= len(scales))).sum())
    if outside:
        problems.append(f"{outside} of {len(prompt)} prompt indices are none of the {len(scales)} prompts")
    if not problems:
        ends = RowScales.of([s.score for s in scales], prompt)
        exact = ends.snapped(score)
        wrong = int((~((exact >= ends.low) & (exact <= ends.high))).sum())  # also true for NaN
        if wrong:
            problems.append(f"{wrong} of {len(score)} scores are no number within the prompt's rubric")
        ids = np.array([s.prompt for s in scales], np.str_)[prompt] if len(scales) else np.zeros(0, np.str_)
        other = int((table["prompt"].cast(pl.String).to_numpy() != ids).sum())
        if other:
            problems.append(f"{other} rows of {RESPONSES} are of another prompt than the arrays'")
    if problems:
        raise SchemaError(
            f"Split {name!r} of the text dataset, with {table.height} rows in {RESPONSES}, does not fit together: "
            f"{'; '.join(problems)}. Run preprocess again."
        )
