"""Perplexity of a language model, with an interval over students: exp(sum of token losses / number of tokens).

Pooled over tokens, as is usual (Jelinek et al. 1977): a long text counts as much as its tokens. Two models are only
comparable where they cut texts into the same tokens.
"""

import numpy as np
import numpy.typing as npt

from components.errors import SchemaError
from components.evaluate.estimates import Estimate
from components.evaluate.ranking import mean_estimates

Floats = npt.NDArray[np.float64]


def perplexity_of(
    loss: Floats,
    tokens: npt.NDArray[np.integer],
    student: npt.NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
    min_students: int = 10,
) -> Estimate:
    """Return the perplexity over texts; `too_few` with fewer students than `min_students`.

    Args:
        loss: (Q,) summed negative log likelihood of each text's tokens, nats.
        tokens: (Q,) how many tokens that is, at least 0.
        student: (Q,) any whole numbers; equal ones are one student.
        resamples: of whole students.
        confidence: of the interval.
        seed: of the resamples.
        min_students: see above.

    Raises:
        SchemaError: lengths differ, a loss is no number or below 0, or a count of tokens below 0.
    """
    if not len(loss) == len(tokens) == len(student):
        raise SchemaError(
            f"There are {len(loss)} losses, {len(tokens)} token counts and {len(student)} students. Give one of each "
            "for every text."
        )
    wrong = ~(np.isfinite(loss) & (loss >= 0.0) & (tokens >= 0))
    if wrong.any():
        raise SchemaError(
            f"{int(wrong.sum())} of {len(loss)} texts have a loss that is no number or below 0, or fewer than 0 "
            "tokens. Give summed negative log likelihoods in nats."
        )
    found = mean_estimates(
        {"loss": loss},
        tokens.astype(np.float64),
        student,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        min_students=min_students,
    )["loss"]
    if found.value is None or found.low is None or found.high is None:
        return found
    value, low, high = np.exp([found.value, found.low, found.high]).tolist()
    return Estimate(status="ok", value=value, low=low, high=high)
