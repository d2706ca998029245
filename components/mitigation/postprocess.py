"""A post-processor of a trained model: when it is fitted, and what is kept of it beside the weights.

It is fitted in the training process, to the best epoch's weights, so that it is evaluated, exported and served as part
of the model: a service needs no other input and no other code.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from components.artifacts import JsonValue

POSTPROCESS = "postprocess.json"
"""What was fitted, in the checkpoint's folder; only where a post-processor was asked for."""
RAW = "raw_probability"
"""What `predict_step` returns beside `probability`, and the column of predictions: the answer without it."""


@runtime_checkable
class Postprocessed(Protocol):
    """A module whose answers go through a post-processor."""

    @property
    def is_postprocessed(self) -> bool:
        """Whether the configuration asks for one."""

    def fit_postprocessor(self, batches: Iterable[Any]) -> Mapping[str, JsonValue]:  # Any: what its loader gives
        """Fit it to the batches of the validation split, and return what is told of it.

        That is `kind`, `by` (empty: the same for everybody), `status` (`ok` or `not_fitted`) and `reason`.
        """


def write_postprocess(folder: Path, told: Mapping[str, JsonValue]) -> None:
    """Write what was fitted into a folder."""
    text = json.dumps(dict(told), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / POSTPROCESS).write_text(text + "\n", encoding="utf-8")


def postprocess_of(folder: Path) -> dict[str, Any] | None:  # Any: parsed JSON
    """Return what was fitted for a checkpoint and a sentence on it, None where nothing was asked for."""
    path = folder / POSTPROCESS
    if not path.is_file():
        return None
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told | {"sentence": sentence_of(told)}


def sentence_of(told: Mapping[str, Any]) -> str:
    """Return what was done in one sentence, for a run's progress and its reports."""
    if told["status"] != "ok":
        return (
            f"The affine map of the answers that was asked for was not fitted: {told['reason']}; they stay as they are."
        )
    return (
        f"Answers are mapped for everybody alike, sigmoid({told['slope']:.4g} logit {told['intercept']:+.4g}), fitted "
        f"on {told['answers']:,} validation answers; no group attribute is used, nor asked for by the service."
    )
