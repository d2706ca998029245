"""What is chosen on validation texts: agreement to choose by, scores and labels that can be given.

Shapes: N texts, C labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.writing.codec import Rubric
from components.writing.kernel.config import KernelConfig

Floats = npt.NDArray[np.float64]

BIASES = np.arange(-6, 13) / 20.0
"""What a label's share may be raised or lowered by: rare labels otherwise hardly ever win."""
ROUNDS = 2


def weighted_kappa(given: Floats, predicted: Floats) -> float:
    """Return quadratic weighted kappa of two lists of scores; 0 where neither varies (Cohen 1968).

    It equals 1 - E(x - y)^2 / E(x - y')^2 with y' independent of x, which needs no table of scores.
    """
    expected = given.var() + predicted.var() + (given.mean() - predicted.mean()) ** 2
    return float(1.0 - np.square(given - predicted).mean() / expected) if expected > 0 else 0.0


def macro_f1(given_N: npt.NDArray[np.int64], predicted_N: npt.NDArray[np.int64], labels: int) -> float:
    """Return the mean over labels that occur of F1: 2 hits / (given + predicted)."""
    hits = np.bincount(given_N[given_N == predicted_N], minlength=labels)
    both = np.bincount(given_N, minlength=labels) + np.bincount(predicted_N, minlength=labels)
    there = both > 0
    return float((2.0 * hits[there] / both[there]).mean()) if there.any() else 0.0


def label_biases(shares_NC: Floats, given_N: npt.NDArray[np.int64]) -> tuple[Floats, float]:
    """Return (C,) what is added to each label's share so that macro F1 is highest, and that F1.

    One label after the other, as trying all together costs a power of their number; ties go to the smallest change.

    Args:
        shares_NC: how much speaks for each label.
        given_N: index of the label that humans gave.
    """
    labels = shares_NC.shape[1]
    bias = np.zeros(labels)
    best = macro_f1(given_N, shares_NC.argmax(axis=1), labels)
    for _ in range(ROUNDS):
        for c in range(1, labels):
            for value in sorted(BIASES.tolist(), key=abs):
                tried = bias.copy()
                tried[c] = value
                found = macro_f1(given_N, (shares_NC + tried).argmax(axis=1), labels)
                if found > best + 1e-12:
                    best, bias = found, tried
    return bias, best


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What is learned of N training texts beside traits: the score, standardised, and who has which label."""

    columns_NT: Floats
    """T = 1 + C, or 1 where no labels are decided on; each column has (weighted) mean 0."""
    centre: float
    spread: float
    shares_C: Floats
    """How often each label is given."""

    @classmethod
    def of(cls, score_N: Floats, rubric: Rubric, config: KernelConfig, weight_N: Floats | None = None) -> "Targets":
        """Return the targets of these scores; with weights, means are weighted."""
        centre, spread = float(np.average(score_N, weights=weight_N)), float(score_N.std())
        columns = [((score_N - centre) / (spread or 1.0))[:, None]]
        shares = np.zeros(0)
        if config.decision == "label":
            given = np.eye(len(points_of(rubric)))[places_of(score_N, rubric)]
            shares = np.average(given, axis=0, weights=weight_N)
            columns.append(given - shares)
        return cls(columns_NT=np.hstack(columns), centre=centre, spread=spread, shares_C=shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Settings, and what they reach on the validation texts that they were chosen on."""

    ridge: float
    stretch: float
    bias_C: Floats
    qwk: float
    """Of the score that is given: a label's where labels are decided on."""
    f1: float


def chosen(
    predict: Callable[[float], Floats], targets: Targets, score_V: Floats, rubric: Rubric, config: KernelConfig
) -> Chosen:
    """Return the ridge strength, stretch and biases that do best: by QWK, or by macro F1 where labels are decided on.

    Args:
        predict: ridge strength -> (V, T) predictions of the targets' columns for the validation texts.
        targets: of the training texts.
        score_V: human scores of the validation texts.
        rubric: of the scores.
        config: what is tried.
    """
    best: Chosen | None = None
    goal = -np.inf
    given, points = places_of(score_V, rubric), points_of(rubric)
    for ridge in config.ridges:
        found_VT = predict(ridge)
        kappas = [
            weighted_kappa(score_V, rounded(targets.centre + targets.spread * stretch * found_VT[:, 0], rubric))
            for stretch in config.stretches
        ]
        at = int(np.argmax(kappas))
        bias, f1, qwk, reached = np.zeros(0), 0.0, kappas[at], kappas[at]
        if len(targets.shares_C):
            shares = targets.shares_C + found_VT[:, 1:]
            bias, f1 = label_biases(shares, given)
            qwk, reached = weighted_kappa(score_V, points[(shares + bias).argmax(axis=1)]), f1
        if best is None or reached > goal:
            goal = reached
            best = Chosen(ridge=ridge, stretch=config.stretches[at], bias_C=bias, qwk=qwk, f1=f1)
    assert best is not None  # the configuration has a ridge strength
    return best


def points_of(rubric: Rubric) -> Floats:
    """Return (C,) the scores that can be given, the lowest first."""
    points: Floats = rubric.low + rubric.step * np.arange(round((rubric.high - rubric.low) / rubric.step) + 1.0)
    return points


def places_of(score_N: Floats, rubric: Rubric) -> npt.NDArray[np.int64]:
    """Return which of `points_of` each score is."""
    places: npt.NDArray[np.int64] = np.rint((score_N - rubric.low) / rubric.step).astype(np.int64)
    return places


def rounded(raw: Floats, rubric: Rubric) -> Floats:
    """Return scores that can be given; as `Rubric.rounded`, for arrays."""
    steps = np.floor((np.clip(raw, rubric.low, rubric.high) - rubric.low) / rubric.step + 0.5)
    return np.clip(rubric.low + steps * rubric.step, rubric.low, rubric.high)


def evenly(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Return at most so many of the rows, evenly chosen."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
