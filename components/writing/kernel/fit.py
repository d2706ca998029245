"""Fits the kernel grader: per prompt, ridge regression on a blend of kernels, settings chosen on validation texts.

With likeness k = a <w, w'> + b <c, c'> + d exp(-gamma |f - f'|^2) of word n-grams w, character n-grams c and
standardised features f, scores s of N training texts (mean m, standard deviation v) give dual weights
(K + ridge I)^-1 (s - m) / v (kernel ridge regression: Saunders, Gammerman & Vovk 1998). The linear part is exported as
a weight per n-gram, the Gaussian with its training texts' features. Raw scores are stretched about the mean, as ridge
predictions keep nearer to it than human scores do, and rounding to a rubric would leave its ends unused.

Shapes: N training and V validation texts of a prompt, T targets (the score first), E ridge strengths.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from components.errors import NotEnoughDataError
from components.writing.codec import Codec, Rubric
from components.writing.kernel.config import KernelConfig
from components.writing.kernel.grader import KernelGrader
from components.writing.kernel.intervals import Intervals, fit_intervals
from components.writing.preprocess.arrays import Ragged, TextArrays

Floats = npt.NDArray[np.float64]
LEAST_FOR_TRAIT = 10
"""A trait with fewer scores of a prompt's training texts is not learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPrompt:
    """What was learned of one prompt."""

    rows: npt.NDArray[np.int64]
    """Training texts that are used."""
    features_NF: Floats
    """Theirs, standardised and clipped."""
    gamma: float
    dual_NT: Floats
    """In points of the rubric, weights of the kernels included for the Gaussian only."""
    centre_T: Floats
    has_trait_K: npt.NDArray[np.bool_]
    grams: sparse.csr_matrix
    """(N, n-grams of the prompt), each block times the square root of its weight."""
    ridge: float
    stretch: float
    qwk: float
    """On the validation texts, which also chose ridge and stretch."""
    intervals: Intervals


def fit_kernel(folder: Path, config: KernelConfig, say: Callable[[str], None] = lambda line: None) -> KernelGrader:
    """Return a grader fitted to the dataset in `folder`; `say` is told of each prompt.

    Raises:
        NotEnoughDataError: the dataset has no n-grams.
    """
    codec = Codec.from_json(json.loads((folder / "codec.json").read_text(encoding="utf-8")))
    train, valid = TextArrays.open(folder, "train"), TextArrays.open(folder, "valid")
    if not codec.grams:
        raise NotEnoughDataError(
            "The dataset has preprocess.inputs='tokens', without n-grams; the kernel grader needs them. Use 'grams' or "
            "'both'."
        )
    fitted = []
    for index, terms in enumerate(codec.prompts):
        one = _fit_prompt(codec, index, train, valid, config)
        say(f"prompt {terms.name}: {len(one.rows)} texts, ridge {one.ridge:g}, valid_qwk {one.qwk:.4f}")
        fitted.append(one)
    qwk = float(np.mean([one.qwk for one in fitted]))
    grader = KernelGrader(
        prompts=len(fitted),
        grams=codec.gram_count,
        support=max(len(one.rows) for one in fitted),
        traits=len(codec.traits),
        regions=config.regions,
        figures={"valid_qwk": qwk, **{f"valid_qwk_{i}": one.qwk for i, one in enumerate(fitted)}},
    )
    for index, one in enumerate(fitted):
        _fill(grader, codec, index, one, config)
    return grader.eval()


def weighted_kappa(given: Floats, predicted: Floats) -> float:
    """Return quadratic weighted kappa of two lists of scores; 0 where neither varies (Cohen 1968).

    It equals 1 - E(x - y)^2 / E(x - y')^2 with y' independent of x, which needs no table of scores.
    """
    expected = given.var() + predicted.var() + (given.mean() - predicted.mean()) ** 2
    return float(1.0 - np.square(given - predicted).mean() / expected) if expected > 0 else 0.0


def _fit_prompt(codec: Codec, index: int, train: TextArrays, valid: TextArrays, config: KernelConfig) -> FittedPrompt:
    terms = codec.prompts[index]
    rows = _evenly(np.flatnonzero(train.prompt_R == index), config.max_support)
    held = np.flatnonzero(valid.prompt_R == index)
    features = terms.standardised(train.features_RF[rows]).astype(np.float64)
    held_features = terms.standardised(valid.features_RF[held]).astype(np.float64)
    gamma = config.gamma / max(1, int((features.std(axis=0) > 0).sum()))
    grams, held_grams = (_grams(codec, index, part, at, config) for part, at in ((train, rows), (valid, held)))
    kernel = _product(grams, grams) + config.feature_weight * gaussian(features, features, gamma)
    held_kernel = _product(held_grams, grams) + config.feature_weight * gaussian(held_features, features, gamma)

    score, held_score = train.score_R[rows].astype(np.float64), valid.score_R[held].astype(np.float64)
    centre, spread = float(score.mean()), float(score.std())
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ ((score - centre) / (spread or 1.0))
    held_turned = held_kernel @ vectors
    best = (-math.inf, config.ridges[0], config.stretches[0])
    for ridge in config.ridges:
        plain = held_turned @ (turned / (values + ridge))
        for stretch in config.stretches:
            raw = centre + spread * stretch * plain
            best = max(best, (weighted_kappa(held_score, _rounded(raw, terms.rubric)), ridge, stretch), key=_first)
    qwk, ridge, stretch = best
    dual = spread * stretch * (vectors @ (turned / (values + ridge)))
    traits = train.traits_RK[rows].astype(np.float64)
    dual_NT, centre_T, has = _with_traits(kernel, traits, dual, centre, ridge)
    raw = centre + held_kernel @ dual
    return FittedPrompt(
        rows=rows,
        features_NF=features,
        gamma=gamma,
        dual_NT=dual_NT,
        centre_T=centre_T,
        has_trait_K=has,
        grams=grams,
        ridge=ridge,
        stretch=stretch,
        qwk=qwk,
        intervals=fit_intervals(raw, held_score, config.confidence, config.regions),
    )


def _with_traits(
    kernel: Floats, traits_NK: Floats, dual: Floats, centre: float, ridge: float
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return dual weights and means of all targets; a trait is learned from the texts that have it."""
    count = traits_NK.shape[1]
    dual_NT = np.zeros((len(dual), 1 + count))
    dual_NT[:, 0] = dual
    centre_T = np.zeros(1 + count)
    centre_T[0] = centre
    has = np.zeros(count, np.bool_)
    for k in range(count):
        scored = np.flatnonzero(np.isfinite(traits_NK[:, k]))
        if len(scored) < LEAST_FOR_TRAIT:
            continue
        has[k] = True
        target = traits_NK[scored, k]
        centre_T[1 + k] = target.mean()
        inner = kernel[np.ix_(scored, scored)] + ridge * np.eye(len(scored))
        dual_NT[scored, 1 + k] = np.linalg.solve(inner, target - target.mean())
    return dual_NT, centre_T, has


def _fill(grader: KernelGrader, codec: Codec, index: int, fitted: FittedPrompt, config: KernelConfig) -> None:
    """Write what was learned of a prompt into the module's buffers."""
    first, first_character, end = codec.gram_range(index)
    terms, count = codec.prompts[index], len(fitted.rows)
    blocks = np.ones(end - first)
    blocks[: first_character - first] = math.sqrt(config.word_weight)
    blocks[first_character - first :] = math.sqrt(config.character_weight)
    # <x, x'> is over blocks that carry the square root of their weight; a text comes without it.
    weights_VT = blocks[:, None] * (fitted.grams.T @ fitted.dual_NT)
    usual_V = np.asarray(fitted.grams.mean(axis=0)).ravel() / np.where(blocks > 0, blocks, 1.0)
    shift_V = usual_V * weights_VT[:, 0]
    dual_NT = config.feature_weight * fitted.dual_NT
    surface = float((gaussian(fitted.features_NF, fitted.features_NF, fitted.gamma) @ dual_NT[:, 0]).mean())
    words = first_character - first
    parts = (float(shift_V[:words].sum()), float(shift_V[words:].sum()), surface)

    def put(buffer: torch.Tensor, value: Any) -> None:  # Any: what numpy takes for an array
        buffer.copy_(torch.from_numpy(np.array(value)))

    put(grader.weight_VM[first:end], weights_VT)
    put(grader.shift_V[first:end], shift_V)
    put(grader.is_character_V[first_character:end], np.ones(end - first_character, np.bool_))
    put(grader.mean_part_P3[index], parts)
    put(grader.usual_P[index], fitted.centre_T[0] + sum(parts))
    put(grader.centre_PM[index], fitted.centre_T)
    put(grader.mean_PF[index], terms.mean_F.astype(np.float64))
    put(grader.sd_PF[index], terms.sd_F.astype(np.float64))
    put(grader.support_PNF[index, :count], fitted.features_NF)
    put(grader.dual_PNM[index, :count], dual_NT)
    put(grader.gamma_P[index], fitted.gamma)
    put(grader.edges_PR[index], fitted.intervals.edges_R)
    put(grader.half_width_PR[index], fitted.intervals.half_width_R)
    put(grader.has_trait_PK[index], fitted.has_trait_K)


def gaussian(left_NF: Floats, right_MF: Floats, gamma: float) -> Floats:
    """Return exp(-gamma |x - y|^2) of all pairs of rows."""
    squares = np.square(left_NF).sum(1)[:, None] + np.square(right_MF).sum(1) - 2.0 * left_NF @ right_MF.T
    found: Floats = np.exp(-gamma * np.maximum(squares, 0.0))
    return found


def _grams(
    codec: Codec, index: int, part: TextArrays, rows: npt.NDArray[np.int64], config: KernelConfig
) -> sparse.csr_matrix:
    """Return texts as sparse rows over the prompt's n-grams, each block times the square root of its weight."""
    assert part.ids is not None  # the codec has n-grams, so preprocessing wrote them
    assert part.values is not None
    first, first_character, end = codec.gram_range(index)
    ids = _taken(part.ids, rows) - first
    values = _taken(part.values, rows).astype(np.float64)
    weights = np.sqrt(np.where(ids < first_character - first, config.word_weight, config.character_weight))
    starts = np.concatenate([[0], np.cumsum(part.ids.lengths()[rows])])
    return sparse.csr_matrix((values * weights, ids, starts), shape=(len(rows), end - first))


def _taken(ragged: Ragged, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:  # Any: of the ragged array's dtype
    parts = [ragged.row(int(r)) for r in rows]
    return np.concatenate(parts) if parts else ragged.flat[:0]


def _product(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Floats:
    """Return all inner products of two sets of texts: frequent n-grams by a dense product, the others by a sparse one.

    A sparse product costs the sum over n-grams of the square of how many texts have each; those that a good share of
    texts has make up nearly all of it.
    """
    counts = np.bincount(right.indices, minlength=right.shape[1])
    dense = np.flatnonzero(counts > FREQUENT * right.shape[0])
    rare = np.flatnonzero(counts <= FREQUENT * right.shape[0])
    found: Floats = left[:, dense].toarray() @ right[:, dense].toarray().T
    found += (left[:, rare] @ right[:, rare].T).toarray()
    return found


FREQUENT = 0.05
"""Above this share of texts an n-gram counts as frequent; only speed hangs on it."""


def _rounded(raw: Floats, rubric: Rubric) -> Floats:
    """Return scores that can be given; as `Rubric.rounded`, for arrays."""
    steps = np.floor((np.clip(raw, rubric.low, rubric.high) - rubric.low) / rubric.step + 0.5)
    return np.clip(rubric.low + steps * rubric.step, rubric.low, rubric.high)


def _evenly(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _first(one: tuple[float, float, float]) -> float:
    return one[0]
