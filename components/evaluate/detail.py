"""What `metrics.json` says beside the comparison with baselines: calibration, curves, skills, and plain uselessness."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.evaluate.config import EvaluateConfig
from components.evaluate.curves import curves_json
from components.evaluate.estimates import estimates_of, measured
from components.evaluate.measures import AUC, BALANCED, ECE, MEANINGS
from components.evaluate.rows import ScoredRows
from components.evaluate.skills import DECIMALS, estimate_json, skills_json
from components.evaluate.usefulness import useless_of


def detail_json(
    rows: ScoredRows, skills_NK: npt.NDArray[np.integer], names: Sequence[str], config: EvaluateConfig
) -> dict[str, JsonValue]:
    """Return these parts of `metrics.json`, by key.

    - `ece`, `balanced_accuracy`: `status` (`ok` or `not_estimable`), `value`, `low`, `high`, over all rows.
    - `useless`: null, or the sentence that names the model as such.
    - `curves`: `roc`, `reliability`, `distribution`; see `components/evaluate/curves.py`.
    - `skills`: for each skill that is large enough its counts and measures with intervals; `skills_too_few`.

    Args:
        rows: all scored rows, of both classes.
        skills_NK: the skills of each row, indices as in the dataset.
        names: of the skills of the vocabulary.
        config: sizes, resamples, confidence, seed.
    """
    everyone = np.zeros(len(rows.label), np.int64)
    (found,) = estimates_of(
        measured(rows, everyone, 1, resamples=config.resamples, seed=config.seed), confidence=config.confidence
    )
    return {
        **{name: estimate_json(found[name], DECIMALS) for name in (ECE, BALANCED)},
        "meanings": {name: MEANINGS[name] for name in (ECE, BALANCED)},
        "useless": useless_of(rows.probability, found[AUC], found[BALANCED]),
        "curves": curves_json(
            rows.label, rows.probability, rows.student, min_rows=config.min_students, min_students=config.min_students
        ),
        **skills_json(
            rows,
            skills_NK,
            names,
            resamples=config.resamples,
            confidence=config.confidence,
            seed=config.seed,
            min_rows=config.min_students,
            min_students=config.min_students,
            min_rarer_class=config.min_students,
        ),
    }


def names_of(codec: object, width: int) -> list[str]:
    """Return the skills' names from index 2 on, `width` indices in all: those in `codec.json`, else the indices."""
    known = codec.get("skills") if isinstance(codec, dict) else None
    named = [str(name) for name in known] if isinstance(known, list) else []
    return named + [str(index) for index in range(len(named) + 2, width)]
