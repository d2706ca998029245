"""Two heuristics of a line each that a trained model has to beat on the same rows.

`skill_mean`: share of right answers in the training split for the step's set of skills, drawn towards the share of all
with the weight of `SKILL_PRIOR` answers; for an unseen set, the share of all.
`skill_and_student_mean`: the average of that and of the student's own share of right answers before the step, drawn
towards the training share with the weight of `STUDENT_PRIOR` answers. A sum instead of the average has the same AUC.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.evaluate.counts import sums_before
from components.evaluate.sequences import Split

SKILL_PRIOR = 5.0
STUDENT_PRIOR = 2.0
FORMULAS = {
    "skill_mean": f"(right + {SKILL_PRIOR:g} * base) / (answers + {SKILL_PRIOR:g}) over the training answers with the "
    "same set of skills; base = share of right answers in training",
    "skill_and_student_mean": f"(skill_mean + (right + {STUDENT_PRIOR:g} * base) / (answers + {STUDENT_PRIOR:g})) / 2, "
    "the second over the student's own earlier answers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heuristics:
    """Probabilities of a right answer, (N,) each."""

    skill_mean: npt.NDArray[np.float64]
    skill_and_student_mean: npt.NDArray[np.float64]

    def by_name(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return name -> probabilities, named as in `FORMULAS`."""
        return {"skill_mean": self.skill_mean, "skill_and_student_mean": self.skill_and_student_mean}


def heuristics_of(train: Split, test: Split) -> Heuristics:
    """Return the heuristics' probabilities for every step of `test`, from `train` and the student's earlier answers."""
    base = float(np.mean(train.responses, dtype=np.float64))
    sets, count = _set_codes(np.concatenate([train.skills, test.skills]))
    seen, asked = sets[: train.steps], sets[train.steps :]
    right = np.bincount(seen, weights=train.responses, minlength=count)
    answers = np.bincount(seen, minlength=count)
    skill = ((right + SKILL_PRIOR * base) / (answers + SKILL_PRIOR))[asked]
    earlier_right, earlier = _earlier(test)
    student = (earlier_right + STUDENT_PRIOR * base) / (earlier + STUDENT_PRIOR)
    return Heuristics(skill_mean=skill, skill_and_student_mean=(skill + student) / 2.0)


def _set_codes(skills: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], int]:
    """Return a number for each row's set of skills, equal for equal rows, and how many numbers there are."""
    codes, count = np.zeros(len(skills), np.int64), 1
    for column in skills.T:
        width = int(column.max(initial=0)) + 1
        values, codes = np.unique(codes * width + column, return_inverse=True)
        count = len(values)
    return codes, count


def _earlier(split: Split) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return, for each step, the sum and number of the student's responses before it."""
    student = split.student()
    time = np.lexsort((split.position, student))
    responses = np.asarray(split.responses)[time].astype(np.float64)
    out = np.empty((2, split.steps))
    out[:, time] = sums_before(student[time], np.stack([responses, np.ones(split.steps)]))
    return out[0], out[1]
