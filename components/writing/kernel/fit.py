"""Fits the kernel grader: per prompt, ridge regression on a blend of kernels, settings chosen on validation texts.

With likeness k = a <w, w'> + b <c, c'> + d exp(-gamma |f - f'|^2) of word n-grams w, character n-grams c and
standardised features f, scores s of N training texts (mean m, standard deviation v) give dual weights
(K + ridge I)^-1 (s - m) / v (kernel ridge regression: Saunders, Gammerman & Vovk 1998). The linear part is exported as
a weight per n-gram, the Gaussian with its training texts' features. Raw scores are stretched about the mean, as ridge
predictions keep nearer to it than human scores do, and rounding to a rubric would leave its ends unused.

Texts that are weighed by group (`components/mitigation`) have errors that count w times: (K + ridge diag(1 / w))^-1.

Shapes: N training and V validation texts of a prompt, T targets (the score first), E ridge strengths.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.errors import NotEnoughDataError
from components.writing.codec import Codec
from components.writing.kernel.choices import Chosen, Targets, chosen, evenly
from components.writing.kernel.config import KernelConfig
from components.writing.kernel.filling import fill_labels, most_labels, put
from components.writing.kernel.grader import KernelGrader
from components.writing.kernel.intervals import Intervals, fit_intervals
from components.writing.kernel.likeness import block_roots, gaussian, grams_of, product
from components.writing.kernel.pooled import fit_pool
from components.writing.kernel.traits import fit_traits
from components.writing.preprocess.arrays import TextArrays

Floats = npt.NDArray[np.float64]


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
    chosen: Chosen
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
    if codec.pool is not None:
        return fit_pool(codec, train, valid, config, say)
    fitted = []
    for index, terms in enumerate(codec.prompts):
        one = _fit_prompt(codec, index, train, valid, config)
        say(f"prompt {terms.name}: {len(one.rows)} texts, ridge {one.chosen.ridge:g}, valid_qwk {one.chosen.qwk:.4f}")
        fitted.append(one)
    qwk = float(np.mean([one.chosen.qwk for one in fitted]))
    grader = KernelGrader(
        prompts=len(fitted),
        grams=codec.gram_count,
        support=max(len(one.rows) for one in fitted),
        traits=len(codec.traits),
        labels=most_labels(codec, config),
        regions=config.regions,
        figures={"valid_qwk": qwk, **{f"valid_qwk_{i}": one.chosen.qwk for i, one in enumerate(fitted)}},
    )
    for index, one in enumerate(fitted):
        _fill(grader, codec, index, one, config)
    return grader.eval()


def _fit_prompt(codec: Codec, index: int, train: TextArrays, valid: TextArrays, config: KernelConfig) -> FittedPrompt:
    terms = codec.prompts[index]
    rows = evenly(np.flatnonzero(train.prompt_R == index), config.max_support)
    held = np.flatnonzero(valid.prompt_R == index)
    features = terms.standardised(train.features_RF[rows]).astype(np.float64)
    held_features = terms.standardised(valid.features_RF[held]).astype(np.float64)
    gamma = config.gamma / max(1, int((features.std(axis=0) > 0).sum()))
    grams, held_grams = (
        grams_of(codec.gram_range(index), part, at, config) for part, at in ((train, rows), (valid, held))
    )
    kernel = product(grams, grams) + config.feature_weight * gaussian(features, features, gamma)
    held_kernel = product(held_grams, grams) + config.feature_weight * gaussian(held_features, features, gamma)

    score, held_score = train.score_R[rows].astype(np.float64), valid.score_R[held].astype(np.float64)
    weight_N = train.weight_R[rows]
    targets = Targets.of(score, terms.rubric, config, weight_N)
    # (K + ridge / w)^-1 = r (r K r + ridge)^-1 r with r the root of w: the same vectors for every ridge strength
    root_N1 = np.sqrt(weight_N)[:, None]
    values, vectors = np.linalg.eigh(root_N1 * kernel * root_N1.T)
    values = np.maximum(values, 0.0)
    vectors = root_N1 * vectors
    turned_NT = vectors.T @ targets.columns_NT
    held_turned = held_kernel @ vectors
    best = chosen(
        lambda ridge: held_turned @ (turned_NT / (values + ridge)[:, None]), targets, held_score, terms.rubric, config
    )
    dual_NT = vectors @ (turned_NT / (values + best.ridge)[:, None])
    dual_NT[:, 0] *= targets.spread * best.stretch
    raw = targets.centre + held_kernel @ dual_NT[:, 0]
    traits_NK, centre_K, has = fit_traits(kernel, train.traits_RK[rows].astype(np.float64), best.ridge, weight_N)
    return FittedPrompt(
        rows=rows,
        features_NF=features,
        gamma=gamma,
        dual_NT=np.hstack([dual_NT[:, :1], traits_NK, dual_NT[:, 1:]]),
        centre_T=np.concatenate([[targets.centre], centre_K, targets.shares_C]),
        has_trait_K=has,
        grams=grams,
        chosen=best,
        intervals=fit_intervals(raw, held_score, config.confidence, config.regions),
    )


def _fill(grader: KernelGrader, codec: Codec, index: int, fitted: FittedPrompt, config: KernelConfig) -> None:
    """Write what was learned of a prompt into the module's buffers."""
    first, first_character, end = codec.gram_range(index)
    terms, count = codec.prompts[index], len(fitted.rows)
    blocks = block_roots((first, first_character, end), config)
    # <x, x'> is over blocks that carry the square root of their weight; a text comes without it.
    weights_VT = blocks[:, None] * (fitted.grams.T @ fitted.dual_NT)
    usual_V = np.asarray(fitted.grams.mean(axis=0)).ravel() / np.where(blocks > 0, blocks, 1.0)
    shift_V = usual_V * weights_VT[:, 0]
    dual_NT = config.feature_weight * fitted.dual_NT
    surface = float((gaussian(fitted.features_NF, fitted.features_NF, fitted.gamma) @ dual_NT[:, 0]).mean())
    words = first_character - first
    parts = (float(shift_V[:words].sum()), float(shift_V[words:].sum()), surface)

    targets = weights_VT.shape[1]  # other prompts may have more labels
    put(grader.weight_VM[first:end, :targets], weights_VT)
    put(grader.shift_V[first:end], shift_V)
    put(grader.is_character_V[first_character:end], np.ones(end - first_character, np.bool_))
    put(grader.mean_part_P3[index], parts)
    put(grader.usual_P[index], fitted.centre_T[0] + sum(parts))
    put(grader.centre_PM[index, :targets], fitted.centre_T)
    fill_labels(grader, index, fitted.chosen, terms.rubric)
    put(grader.mean_PF[index], terms.mean_F.astype(np.float64))
    put(grader.sd_PF[index], terms.sd_F.astype(np.float64))
    put(grader.support_SNF[index, :count], fitted.features_NF)
    put(grader.dual_SNM[index, :count, :targets], dual_NT)
    put(grader.gamma_P[index], fitted.gamma)
    put(grader.edges_PR[index], fitted.intervals.edges_R)
    put(grader.half_width_PR[index], fitted.intervals.half_width_R)
    put(grader.has_trait_PK[index], fitted.has_trait_K)
