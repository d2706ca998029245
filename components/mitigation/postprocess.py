"""A post-processor of a trained model: when it is fitted, and what is kept of it beside the weights.

It is fitted in the training process, to the best epoch's weights, so that it is evaluated, exported and served as part
of the model. A service needs no other input and no other code, but for a map by group: there, each student's group.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from components.artifacts import JsonValue
from components.mitigation.affine import Affine
from components.mitigation.groups import CAUTION

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

        That is `kind`, `by` (an attribute; empty: everybody alike), `status` (`ok` or `not_fitted`) and `reason`.
        """


def by_group_json(everybody: Affine, by: str, groups: Mapping[str, Affine]) -> dict[str, JsonValue]:
    """Return what is told of a map for each group: as of the one for everybody, with `by` and `groups`.

    How many answers each group has is not told: with all of them, it would give those of the small groups.

    Args:
        everybody: the map of who is of none of the groups.
        by: the attribute.
        groups: name -> its map; one that was not fitted is the one for everybody.
    """
    told = {name: value for name, value in everybody.to_json().items() if not name.startswith("log_loss")}
    maps: list[JsonValue] = [
        {
            "group": name,
            "status": "ok" if its.is_fitted else "not_fitted",
            "reason": its.reason,
            "slope": its.slope,
            "intercept": its.intercept,
        }
        for name, its in groups.items()
    ]
    return told | {"kind": "affine_by_group", "by": by, "groups": maps}


def write_postprocess(folder: Path, told: Mapping[str, JsonValue]) -> None:
    """Write what was fitted into a folder."""
    text = json.dumps(dict(told), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / POSTPROCESS).write_text(text + "\n", encoding="utf-8")


def postprocess_of(folder: Path) -> dict[str, Any] | None:  # Any: parsed JSON
    """Return what was fitted for a checkpoint and a sentence on it, None where nothing was asked for.

    Where answers hang on a group, there is a `caution` as well.
    """
    path = folder / POSTPROCESS
    if not path.is_file():
        return None
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told | {"sentence": sentence_of(told)} | ({"caution": CAUTION} if told["by"] else {})


def sentence_of(told: Mapping[str, Any]) -> str:
    """Return what was done in one sentence, for a run's progress and its reports."""
    if told["status"] != "ok":
        return (
            f"The affine map of the answers that was asked for was not fitted: {told['reason']}; they stay as they are."
        )
    if told["by"]:
        own = [one["group"] for one in told["groups"] if one["status"] == "ok"]
        rest = [f"{one['group']} ({one['reason']})" for one in told["groups"] if one["status"] != "ok"]
        return (
            f"Answers are mapped by {told['by']}: each of {', '.join(own) or 'no group'} has an affine map of its own, "
            "fitted on its validation answers. Whose group is another, or not given, has the one for everybody, "
            f"sigmoid({told['slope']:.4g} logit {told['intercept']:+.4g})"
            + (f"; so has {', '.join(rest)}" if rest else "")
            + ". The service asks for the group."
        )
    return (
        f"Answers are mapped for everybody alike, sigmoid({told['slope']:.4g} logit {told['intercept']:+.4g}), fitted "
        f"on {told['answers']:,} validation answers; no group attribute is used, nor asked for by the service."
    )
