"""Scored answers of students in groups, with a planted gap of AUC or of true positive rate, for trying the gate.

Each student answers several times and is right with a probability of its own (Beta distribution). The model's score is
binormal: `signal * right + shift + student effect + noise`, the last two normal, so that AUC and true positive rate are
known in closed form, for answers of different students:

    AUC = Phi(signal / (sqrt 2 * sd)),   TPR = Phi((signal + shift - threshold) / sd),   sd^2 = 1 + student_sd^2

One group, the last, has a lower AUC at the same TPR, or a lower TPR at the same AUC. A second attribute cuts across the
first and has no gap at all. Probabilities have 50 levels, so that all resamples are one matrix product of counts: what
`components/fairness/groups.py` finds on the same answers, in a fiftieth of the time. Needs numpy and scipy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from components.evaluate.bootstrap import resampled_students
from components.fairness.config import FairnessConfig
from components.fairness.family import jointly
from components.fairness.gaps import Sample
from components.fairness.gate import judge
from components.fairness.groups import Comparison, Estimate, Group
from components.gate.decision import Finding

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEVELS = 50
"""Different probabilities; half of them are at least the threshold."""
AUC, TPR = "auc", "true_positive_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedScores:
    """Scored answers of S students: N rows."""

    student: Ints
    """(N,) index of the student."""
    right: npt.NDArray[np.bool_]
    """(N,)."""
    level: Ints
    """(N,) of the probability, in [0, LEVELS)."""
    values: dict[str, Ints]
    """Attribute -> (S,) each student's group."""

    @property
    def probability(self) -> Floats:
        """(N,) the middle of the level."""
        return (self.level + 0.5) / LEVELS


@dataclass(frozen=True, kw_only=True)
class ScoreSimulator:
    """How answers are simulated. The defaults plant no gap."""

    students: int = 1000
    """Per group of the first attribute."""
    groups: int = 4
    other_groups: int = 2
    """Of the second attribute, which has no gap."""
    answers: int = 10
    """Per student."""
    auc: float = 0.80
    tpr: float = 0.70
    auc_gap: float = 0.0
    """How much lower the AUC of the last group is."""
    tpr_gap: float = 0.0
    """How much lower the true positive rate of the last group is."""
    student_sd: float = 0.5
    """Of the student's effect on all its scores, in standard deviations of the noise of one answer."""
    base: tuple[float, float] = (6.0, 4.0)
    """Of the Beta distribution of the students' shares of right answers: mean .6, standard deviation .15."""
    resamples: int = 200

    def scores(self, seed: int) -> SimulatedScores:
        """Return one set of answers."""
        source = np.random.default_rng(seed)
        number = self.students * self.groups
        group = np.repeat(np.arange(self.groups), self.students)
        other = source.integers(self.other_groups, size=number)
        student = np.repeat(np.arange(number), self.answers)
        right = source.random(len(student)) < source.beta(*self.base, number)[student]
        sd = float(np.sqrt(1.0 + self.student_sd**2))
        signal = np.full(self.groups, ndtri(self.auc) * np.sqrt(2.0) * sd)
        threshold = signal[0] - ndtri(self.tpr) * sd
        signal[-1] = ndtri(self.auc - self.auc_gap) * np.sqrt(2.0) * sd
        shift = signal[0] - signal
        shift[-1] += (ndtri(self.tpr - self.tpr_gap) - ndtri(self.tpr)) * sd
        effect = shift[group] + self.student_sd * source.normal(size=number)
        score = signal[group[student]] * right + effect[student] + source.normal(size=len(student))
        level = np.minimum((ndtr((score - threshold) / sd) * LEVELS).astype(np.int64), LEVELS - 1)
        return SimulatedScores(student=student, right=right, level=level, values={"group": group, "other": other})

    def comparisons(self, scores: SimulatedScores) -> dict[str, Comparison]:
        """Return the groups of both attributes with their AUC and true positive rate, each alone."""
        number = self.students * self.groups
        key = (scores.student * 2 + scores.right) * LEVELS + scores.level
        counts = np.bincount(key, minlength=number * 2 * LEVELS).reshape(number, 2 * LEVELS).astype(np.float32)
        cell = scores.values["group"] * self.other_groups + scores.values["other"]
        weights = np.concatenate([np.ones((1, number), np.float32), self._times])
        sums = np.empty((len(weights), self.groups, self.other_groups, 2, LEVELS))
        for c in range(self.groups * self.other_groups):
            inside = np.flatnonzero(cell == c)  # whole numbers below 2^24: float32 holds them exactly
            total = weights[:, inside] @ counts[inside]
            sums[:, c // self.other_groups, c % self.other_groups] = total.reshape(-1, 2, LEVELS)
        return {
            "group": _comparison(sums.sum(axis=2), scores.values["group"]),
            "other": _comparison(sums.sum(axis=1), scores.values["other"]),
        }

    def findings(self, seed: int, config: FairnessConfig) -> tuple[Finding, ...]:
        """Return what the gate finds on one set of answers."""
        return judge(jointly(self.comparisons(self.scores(seed)), config), config).findings

    def outcomes(self, seeds: range, config: FairnessConfig) -> Iterator[bool]:
        """Yield whether the gate stops, for each seed."""
        for seed in seeds:
            yield any(f.outcome == "stop" for f in self.findings(seed, config))

    @cached_property
    def _times(self) -> npt.NDArray[np.float32]:
        """(B, S) how often each student is drawn: the draws of the gate, which do not depend on the answers."""
        return np.stack(list(resampled_students(self.students * self.groups, self.resamples, 0))).astype(np.float32)


def limits(**more: object) -> FairnessConfig:
    """Return the limits that the gate is tried with: .03 on AUC and on the true positive rate, none else."""
    chosen: dict[str, object] = {
        "max_auc_gap": 0.03,
        "max_true_positive_rate_gap": 0.03,
        "max_calibration_gap": 0.0,
        **more,
    }
    return FairnessConfig(**chosen)  # type: ignore[arg-type]  # checked by the class


def _comparison(sums: Floats, group: Ints) -> Comparison:
    """Return the comparison from (1 + B, G, 2, LEVELS) counts of wrong and right answers; the whole sample first."""
    wrong, right = sums[:, :, 0], sums[:, :, 1]
    below = np.cumsum(wrong, axis=2) - wrong
    pairs = wrong.sum(axis=2) * right.sum(axis=2)
    measures = {
        AUC: (right * (below + 0.5 * wrong)).sum(axis=2) / pairs,
        TPR: right[:, :, LEVELS // 2 :].sum(axis=2) / right.sum(axis=2),
    }
    students = np.bincount(group)
    names = tuple(range(len(students)))
    return Comparison(
        groups=tuple(
            Group(
                name=f"g{g}",
                status="ok",
                students=int(students[g]),
                scored=int(sums[0, g].sum()),
                estimates={
                    m: Estimate(status="ok", value=float(v[0, g]), low=0.0, high=1.0) for m, v in measures.items()
                },
            )
            for g in names
        ),
        differences={},
        samples={m: Sample(groups=names, values=v[0], drawn=v[1:], students=students) for m, v in measures.items()},
    )
