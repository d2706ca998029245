"""Logistic regression on counts of earlier answers: the honest baseline that a network has to beat.

`pfa`: performance factors analysis (Pavlik, Cen & Koedinger 2009): logit = sum over the step's skills of
beta_k + gamma_k wins_k + rho_k failures_k, the counts being the student's earlier answers on skill k.
`best_lr`: after "Best-LR" of Gervet, Koedinger, Schneider & Mitchell (2020): the item's difficulty, beta_k, and the
slopes gamma_k and rho_k on log(1 + count), summed over the skills, and log(1 + count) of all wins and failures and of
those on the item. Ours counts failures where theirs counts attempts, has one slope over all items, leaves out their
windows of time, and adds the skills' counts averaged over the set with one slope for all: a rare skill has none.

Both have an intercept and a penalty of w^2 / (2 C) on every other coefficient. They are fitted on the training split
alone; an item or skill outside the vocabulary gets what training learned of such ones, which is 0 if it met none. Where
rows are scores in [0, 1], a score y counts as y right answers and 1 - y wrong ones, as in the log loss of
`components/evaluate/metrics.py`.

Shapes: N steps, K skills per step at most, F features, W features of a step that may differ from 0.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import expit

from components.evaluate.counts import Counts
from components.evaluate.sequences import NONE, UNKNOWN, Split

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PENALTY_C = 1.0
TOLERANCE = 1e-4
"""Of the largest slope of the mean log loss, at which the solver ends; 1e-5 moves AUC by under .0001."""
DENSE_FEATURES = 1_500
"""Up to so many features the solver is `newton-cholesky`, whose Hessian is dense (18 MB); above, `newton-cg`. Newton's
steps need no scaling of the counts; `lbfgs` took 250 to 1,000 iterations and four times as long."""
MAX_FIT_STEPS = 1_000_000
"""With more training steps than this, the regressions are fitted on randomly drawn students with about so many."""
_SEED = 0
"""Of the draw of students."""
_ROWS_AT_ONCE = 1 << 16
"""Rows of a design matrix that are laid out densely at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """How many indices of items and skills there are, NONE and UNKNOWN counted."""

    items: int
    skills: int


@dataclass(frozen=True, slots=True)
class Block:
    """Features of a run of steps that do not overlap with another block's."""

    column_NW: Ints
    """(N, W) below `width`."""
    value_NW: Floats
    """(N, W) zero where the step has no such feature."""
    width: int


Design = Callable[[Split, Counts, Ints, Vocabulary], list[Block]]


def pfa_blocks(split: Split, counts: Counts, rows: Ints, known: Vocabulary) -> list[Block]:
    """Return one-hot skills, and wins and failures on each of the skills."""
    skills = _indices(split.skills[rows], known.skills)
    return [
        _one_hot(skills, known.skills),
        Block(skills, counts.skill_wins_NK[rows], known.skills),
        Block(skills, counts.skill_failures_NK[rows], known.skills),
    ]


def best_lr_blocks(split: Split, counts: Counts, rows: Ints, known: Vocabulary) -> list[Block]:
    """Return one-hot item and skills, and log-scaled counts: each skill's, the set's average, the item's and of all."""
    skills = _indices(split.skills[rows], known.skills)
    items = _indices(split.items[rows], known.items)[:, None]
    wins, failures = np.log1p(counts.skill_wins_NK[rows]), np.log1p(counts.skill_failures_NK[rows])
    size = np.maximum((skills != NONE).sum(axis=1), 1)
    shared = [
        wins.sum(axis=1) / size,
        failures.sum(axis=1) / size,
        np.log1p(counts.item_wins_N[rows]),
        np.log1p(counts.item_failures_N[rows]),
        np.log1p(counts.wins_N[rows]),
        np.log1p(counts.failures_N[rows]),
    ]
    places = np.broadcast_to(np.arange(len(shared)), (len(rows), len(shared)))
    return [
        _one_hot(items, known.items),
        _one_hot(skills, known.skills),
        Block(skills, wins, known.skills),
        Block(skills, failures, known.skills),
        Block(places, np.stack(shared, axis=1), len(shared)),
    ]


DESIGNS: dict[str, Design] = {"pfa": pfa_blocks, "best_lr": best_lr_blocks}


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A fitted regression."""

    design: Design
    known: Vocabulary
    coefficients_F: Floats
    intercept: float
    steps: int
    """Training steps that it was fitted on."""
    is_converged: bool
    is_constant: bool = False
    """All training answers are alike."""

    def predict(self, split: Split, counts: Counts) -> Floats:
        """Return (N,) the probability of a right answer at each step; `counts` are those of `split`."""
        parts = _parts(self.design, split, counts, np.arange(split.steps), self.known)
        logit = np.concatenate([np.zeros(0), *(part @ self.coefficients_F for part in parts)]) + self.intercept
        probability: Floats = expit(logit)
        return probability


def thinned(train: Split, max_steps: int = MAX_FIT_STEPS) -> Split:
    """Return the split itself, or, where it has more steps, that of students drawn until they have about so many."""
    if train.steps <= max_steps:
        return train
    _, student = np.unique(train.window_student, return_inverse=True)
    lengths = np.bincount(student, weights=train.lengths)
    drawn = np.random.default_rng(_SEED).permutation(len(lengths))
    taken = drawn[: max(1, int(np.searchsorted(np.cumsum(lengths[drawn]), max_steps, "right")))]
    return train.of_windows(np.flatnonzero(np.isin(student, taken)))[1]


def fitted(design: Design, train: Split, counts: Counts) -> Regression:
    """Return the regression of `design`, one of `DESIGNS`, fitted on `train`; `counts` are those of `train`."""
    from sklearn.linear_model import LogisticRegression

    known = Vocabulary(items=_width(train.items), skills=_width(train.skills))
    label = np.asarray(train.responses).astype(np.float64)
    right, wrong = np.flatnonzero(label > 0.0), np.flatnonzero(label < 1.0)
    if not len(right) or not len(wrong):  # nothing to tell apart: all answers alike
        features = sp.vstack(list(_parts(design, train, counts, np.arange(1), known))).shape[1]
        return Regression(
            design=design,
            known=known,
            coefficients_F=np.zeros(features),
            intercept=float(np.log((label.sum() + 0.5) / (len(label) - label.sum() + 0.5))),
            steps=train.steps,
            is_converged=True,
            is_constant=True,
        )
    both = np.concatenate([right, wrong])
    matrix = sp.vstack(list(_parts(design, train, counts, both, known)), format="csr")
    target = np.repeat([1, 0], [len(right), len(wrong)])
    weight = np.concatenate([label[right], 1.0 - label[wrong]])
    method = "newton-cholesky" if matrix.shape[1] <= DENSE_FEATURES else "newton-cg"
    solver = LogisticRegression(C=PENALTY_C, solver=method, tol=TOLERANCE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)  # it did not converge
        warnings.simplefilter("always", RuntimeWarning)  # a line search stopped early; the next step may go on
        solver.fit(matrix, target, sample_weight=weight)
    return Regression(
        design=design,
        known=known,
        coefficients_F=solver.coef_[0],
        intercept=float(solver.intercept_[0]),
        steps=train.steps,
        is_converged=not any(issubclass(w.category, UserWarning) for w in caught),
    )


def _parts(design: Design, split: Split, counts: Counts, rows: Ints, known: Vocabulary) -> Iterator[sp.csr_matrix]:
    """Yield the design matrix of `rows` some rows at a time: dense blocks of them all would take much memory."""
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        blocks = design(split, counts, rows[begin : begin + _ROWS_AT_ONCE], known)
        widths = [block.width for block in blocks]
        offsets = np.cumsum(widths) - widths
        columns = np.concatenate([b.column_NW + o for b, o in zip(blocks, offsets, strict=True)], axis=1)
        values = np.concatenate([b.value_NW for b in blocks], axis=1)
        holds = values != 0.0
        ends = np.concatenate([[0], np.cumsum(holds.sum(axis=1))])
        yield sp.csr_matrix((values[holds], columns[holds], ends), shape=(len(values), sum(widths)))


def _one_hot(index_NW: Ints, width: int) -> Block:
    return Block(index_NW, (index_NW != NONE).astype(np.float64), width)


def _indices(index: npt.NDArray[np.int32], width: int) -> Ints:
    """Return the indices with those that training never met as UNKNOWN."""
    return np.where(index < width, index, UNKNOWN).astype(np.int64)


def _width(index: npt.NDArray[np.int32]) -> int:
    return max(int(index.max(initial=0)), UNKNOWN) + 1
