"""Made-up graded responses of students in groups, with or without a planted difference."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from components.writing.fairness.measures import WritingRows
from components.writing.scale import Scale

Grade = Callable[..., WritingRows]
SCALES = (Scale(low=0, high=6), Scale(low=10, high=60), Scale(low=1, high=4, step=0.5))


@pytest.fixture
def grade() -> Grade:
    """Return a function that makes up responses and a calibrated grader's scores, spoilt for chosen students."""

    def make(
        students: int,
        seed: int,
        *,
        each: int = 1,
        prompts: int = 3,
        harsh: npt.NDArray[np.bool_] | None = None,
        noisy: npt.NDArray[np.bool_] | None = None,
    ) -> WritingRows:
        """Give each student `each` responses.

        harsh: (S,) students whose predictions lie half a standard deviation too low.
        noisy: (S,) students whose predictions say little of the response.
        """
        source = np.random.default_rng(seed)
        student = np.repeat(np.arange(students), each)
        prompt = source.integers(0, prompts, len(student))
        scales = SCALES[:prompts]
        low, high, step = (np.array([getattr(s, n) for s in scales])[prompt] for n in ("low", "high", "step"))
        truth = source.normal(0.5, 0.18, len(student))
        noise = np.full(len(student), 0.08)
        if noisy is not None:
            noise[noisy[student]] = 0.5
        shift = np.zeros(len(student)) if harsh is None else np.where(harsh[student], -0.09, 0.0)

        def given(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            steps = np.rint((high - low) / step)
            return np.asarray(low + np.clip(np.rint(share * steps), 0, steps) * step)

        raw = low + np.clip(truth + source.normal(0, noise) + shift, 0, 1) * (high - low)
        ratings = np.stack([given(truth + source.normal(0, 0.08, len(student))) for _ in range(2)], axis=1)
        return WritingRows(
            student=student,
            prompt=prompt,
            score=ratings[:, 0],
            raw=raw,
            rounded=given((raw - low) / (high - low)),
            ratings=ratings,
            is_graded=np.ones(len(student), np.bool_),
            scales=scales,
        )

    return make
