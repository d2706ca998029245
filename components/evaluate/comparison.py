"""A model beside its baselines on the same rows: metrics, intervals, and differences resampled in pairs.

Every set of predictions is scored under the same resamples of the same students. A difference's interval therefore
leaves out what all of them share, such as how hard the drawn students are to predict.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.evaluate.baselines import Baseline
from components.evaluate.bootstrap import Interval, drawn_metrics, intervals_of
from components.evaluate.config import EvaluateConfig
from components.evaluate.measures import SHARES
from components.evaluate.metrics import NAMES, Floats, Metrics, metrics_of
from components.evaluate.verdicts import Difference, Verdict, sentence_of, verdict_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScores:
    """One baseline on the scored rows."""

    title: str
    formula: str
    metrics: Metrics
    intervals: Mapping[str, Interval]
    differences: Mapping[str, Difference]
    """Of each metric: model minus baseline. Log loss and Brier score are better when lower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Scores of the model and of every baseline over the same rows."""

    scored: int
    students: int
    """Students with a scored row."""
    base_rate: float
    """Mean label."""
    metrics: Metrics
    intervals: Mapping[str, Interval]
    baselines: Mapping[str, BaselineScores]

    @property
    def best(self) -> str:
        """Name of the baseline with the highest AUC on these rows: that favours the baselines, never the model."""
        return max(self.baselines, key=lambda name: self.baselines[name].metrics.auc)

    @property
    def verdict(self) -> Verdict:
        """`better` where the whole interval of the difference in AUC to the best baseline is above 0."""
        return verdict_of(self.baselines[self.best].differences["auc"].interval)

    def sentence(self, confidence: float) -> str:
        """Return the verdict in plain words."""
        best = self.baselines[self.best]
        difference = best.differences["auc"]
        return sentence_of("AUC", self.metrics.auc, best.title, best.metrics.auc, difference, confidence=confidence)


def compared(
    label: Floats,
    probability: Floats,
    student: npt.NDArray[np.integer],
    baselines: Mapping[str, Baseline],
    rows: npt.NDArray[np.intp],
    config: EvaluateConfig,
) -> Comparison:
    """Return the comparison over some rows.

    Args:
        label: (N,) in [0, 1].
        probability: (N,) the model's.
        student: (N,) any whole numbers; equal ones are one student.
        baselines: at least one; their probabilities are (N,).
        rows: indices of the rows to score.
        config: says how many resamples, from which seed, and the confidence.

    Raises:
        SchemaError: a label or probability is no number in [0, 1].
        NotEnoughDataError: the rows do not hold both classes.
    """
    label, student = label[rows], student[rows]
    clusters = len(np.unique(student))

    def drawn(values: Floats) -> npt.NDArray[np.float64]:
        return drawn_metrics(label, values, student, resamples=config.resamples, seed=config.seed)

    def intervals(values_RM: npt.NDArray[np.float64], shares: Collection[str] = SHARES) -> dict[str, Interval]:
        return intervals_of(values_RM, confidence=config.confidence, clusters=clusters, shares=shares)

    own, own_RM = metrics_of(label, probability[rows]), drawn(probability[rows])
    found = {}
    for name, baseline in baselines.items():
        metrics, its_RM = metrics_of(label, baseline.probability[rows]), drawn(baseline.probability[rows])
        apart = intervals(own_RM - its_RM, shares=())
        found[name] = BaselineScores(
            title=baseline.title,
            formula=baseline.formula,
            metrics=metrics,
            intervals=intervals(its_RM),
            differences={
                m: Difference(value=own.by_name()[m] - metrics.by_name()[m], interval=apart[m]) for m in NAMES
            },
        )
    return Comparison(
        scored=len(rows),
        students=clusters,
        base_rate=float(np.mean(label, dtype=np.float64)),
        metrics=own,
        intervals=intervals(own_RM),
        baselines=found,
    )
