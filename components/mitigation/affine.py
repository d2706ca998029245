"""An affine map of the logit, fitted to held-out answers: Platt scaling (Platt 1999; Guo et al. 2017), for everybody.

p' = sigmoid(slope * logit(p) + intercept), the slope and intercept that make the mean log loss least: logistic
regression on one number, without a penalty. Afterwards the mean probability of these answers is their mean label. As
the slope is above 0, the order of answers, and with it AUC, stays. scikit-learn's LogisticRegression is not used: it
takes no labels between 0 and 1, and two unknowns need no solver.

Shapes: N answers.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue

Floats = npt.NDArray[np.float64]

MIN_OF_CLASS = 10
"""Right, and wrong, answers that the fit needs."""
MAX_SLOPE = 20.0
"""Beyond it, or below 1 / it, the answers do not decide on a slope: they are parted, or not ranked at all."""
MAX_STEPS = 100
ENOUGH = 1e-10
"""Largest slope of the mean log loss, in either unknown, at which the fit ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """A fitted map; the identity, with a reason, where none was fitted."""

    slope: float = 1.0
    intercept: float = 0.0
    reason: str = ""
    """Why it was not fitted; empty where it was."""
    answers: int
    """N."""
    log_loss_before: float | None = None
    """Mean over the answers that it was fitted on, in nats."""
    log_loss_after: float | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether there is anything to apply."""
        return not self.reason

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `postprocess.json` says of it."""
        said: dict[str, JsonValue] = {
            "format": 1,
            "kind": "affine",
            "by": "",
            "status": "ok" if self.is_fitted else "not_fitted",
            "reason": self.reason,
            "split": "valid",
            "answers": self.answers,
        }
        if self.is_fitted:
            said |= {name: getattr(self, name) for name in ("slope", "intercept", "log_loss_before", "log_loss_after")}
        return said


def fit_affine(logit_N: Floats, label_N: Floats, min_scored: int, whose: str = "the validation split") -> Affine:
    """Return the map with the least mean log loss; the identity where the answers do not decide on one.

    Args:
        logit_N: of the model's answers, finite.
        label_N: in [0, 1].
        min_scored: fewer answers fit nothing.
        whose: answers they are, for the reason.
    """
    answers, right = len(label_N), float(label_N.sum())

    def not_fitted(reason: str) -> Affine:
        return Affine(reason=reason, answers=answers)

    if answers < min_scored:
        return not_fitted(f"{whose} has {answers} scored answers, min_scored asks for {min_scored}")
    if min(right, answers - right) < MIN_OF_CLASS:
        rarer = min(right, answers - right)
        return not_fitted(
            f"of {answers} validation answers {rarer:g} are of the rarer class, {MIN_OF_CLASS} are needed"
        )
    if float(np.ptp(logit_N)) < 1e-6:
        return not_fitted("the model gives all validation answers the same probability")
    design_N2 = np.stack([logit_N, np.ones(answers)], axis=1)
    found, is_at_end = _newton(design_N2, label_N)
    slope, intercept = (float(one) for one in found)
    if not is_at_end or not 1.0 / MAX_SLOPE <= slope <= MAX_SLOPE:
        return not_fitted(
            f"the validation answers ask for a slope of {slope:.3g}, which is not within {1.0 / MAX_SLOPE:g} and "
            f"{MAX_SLOPE:g}: the model does not rank them, or parts them altogether"
        )
    return Affine(
        slope=slope,
        intercept=intercept,
        answers=answers,
        log_loss_before=_loss(design_N2 @ np.array([1.0, 0.0]), label_N),
        log_loss_after=_loss(design_N2 @ found, label_N),
    )


def fit_by_group(
    logit_N: Floats, label_N: Floats, group_N: npt.NDArray[np.integer], groups: int, min_scored: int
) -> tuple[Affine, list[Affine]]:
    """Return the map for everybody, fitted on all answers, and one for each group, fitted on its own.

    A group whose own answers do not decide on a map has the one for everybody, with the reason. Where even that one
    was not fitted, no group's is: what an unknown group gets would not be on the same scale.

    Args:
        logit_N: of the model's answers, finite.
        label_N: in [0, 1].
        group_N: 0 for an answer of no group, else 1 + the group's place.
        groups: how many there are.
        min_scored: a group with fewer answers has no map of its own; nor has everybody.
    """
    everybody = fit_affine(logit_N, label_N, min_scored)
    found = []
    for g in range(1, groups + 1):
        own = group_N == g
        its = fit_affine(logit_N[own], label_N[own], min_scored, "the group") if everybody.is_fitted else everybody
        if not its.is_fitted:
            its = replace(its, slope=everybody.slope, intercept=everybody.intercept)
        found.append(its)
    return everybody, found


def _newton(design_N2: Floats, label_N: Floats) -> tuple[Floats, bool]:
    """Return slope and intercept, and whether the loss is least there; from the identity, steps halved as needed."""
    at, answers = np.array([1.0, 0.0]), len(label_N)
    loss = _loss(design_N2 @ at, label_N)
    for _ in range(MAX_STEPS):
        share_N = 0.5 * (1.0 + np.tanh(0.5 * (design_N2 @ at)))  # the logistic function, which never overflows so
        gradient = design_N2.T @ (share_N - label_N) / answers
        if float(np.abs(gradient).max()) < ENOUGH:
            return at, True
        if at[0] > 2.0 * MAX_SLOPE:
            return at, False
        curvature = (design_N2 * (share_N * (1.0 - share_N))[:, None]).T @ design_N2 / answers
        try:
            step = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            return at, False
        for _ in range(40):
            if (less := _loss(design_N2 @ (at - step), label_N)) <= loss:
                break
            step = step / 2.0
        else:  # as good as it gets in these digits
            return at, float(np.abs(gradient).max()) < np.sqrt(ENOUGH)
        at, loss = at - step, less
    return at, False


def _loss(logit_N: Floats, label_N: Floats) -> float:
    """Return the mean log loss: log(1 + exp(z)) - y z."""
    return float(np.mean(np.logaddexp(0.0, logit_N) - label_N * logit_N))
