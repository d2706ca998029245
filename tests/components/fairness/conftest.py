"""Simulated predictions of students in groups, with or without a planted difference."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from components.fairness.groups import ScoredRows

Simulate = Callable[..., ScoredRows]


@pytest.fixture
def simulate() -> Simulate:
    """Return a function that simulates calibrated predictions, spoilt for chosen students."""

    def make(
        students: int,
        answers: int,
        seed: int,
        *,
        blind: npt.NDArray[np.bool_] | None = None,
        shift: npt.NDArray[np.float64] | None = None,
    ) -> ScoredRows:
        """Give each student `answers` answers.

        blind: (S,) students whose probability says nothing about the answer (AUC one half, still calibrated).
        shift: (S,) added to the true probability of the student's answers, unknown to the model.
        """
        source = np.random.default_rng(seed)
        student = np.repeat(np.arange(students), answers)
        probability = source.uniform(0.2, 0.8, len(student))
        truth = probability + (0.0 if shift is None else shift[student])
        if blind is not None:
            truth = np.where(blind[student], 0.5, truth)
        label = source.random(len(student)) < truth
        return ScoredRows(student=student, label=label.astype(np.float32), probability=probability.astype(np.float32))

    return make
