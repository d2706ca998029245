"""Fits one kernel grader to the responses of all prompts: for many questions with few answers, and for new questions.

With likeness k = (p [any prompts] + (1 - p) [same prompt]) (a <w, w'> + b <c, c'>) + d exp(-gamma |f - f'|^2), n-grams
of the pool in the first part and of the prompt in the second, one ridge regression answers for all prompts: what is
common to questions (how like its reference answers an answer is) carries over to those that have no answers yet. The
Gaussian is that of Nystroem (Williams & Seeger 2001): by the likeness to M training texts.

Shapes: N training and V validation texts, M landmarks, T targets (the score first, then traits, then labels).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from components.errors import NotEnoughDataError
from components.writing.codec import Codec
from components.writing.kernel.choices import Targets, chosen, evenly
from components.writing.kernel.config import KernelConfig
from components.writing.kernel.filling import fill_labels, most_labels, put
from components.writing.kernel.grader import KernelGrader
from components.writing.kernel.intervals import fit_intervals
from components.writing.kernel.likeness import block_roots, gaussian, grams_of, product
from components.writing.kernel.traits import fit_traits
from components.writing.preprocess.arrays import TextArrays

Floats = npt.NDArray[np.float64]
JITTER = 1e-8
"""Added to the landmarks' own likeness: two of them may have the same features."""


def fit_pool(
    codec: Codec, train: TextArrays, valid: TextArrays, config: KernelConfig, say: Callable[[str], None]
) -> KernelGrader:
    """Return a grader fitted to all prompts at once.

    Raises:
        NotEnoughDataError: prompts have different rubrics, so that their scores cannot be learned together.
    """
    rubrics = {terms.rubric for terms in codec.prompts}
    if len(rubrics) > 1:
        raise NotEnoughDataError(
            f"The prompts have {len(rubrics)} different rubrics; one model over all of them needs the same scale for "
            "all. Run the prompts of each scale apart, or set preprocess.pool_prompts = false."
        )
    (rubric,) = rubrics
    rows, held = evenly(np.arange(len(train.score_R)), config.max_pooled), np.arange(len(valid.score_R))
    usual = codec.prompts[0]  # usual features are those of all prompts
    features, held_features = (
        usual.standardised(part.features_RF[at]).astype(np.float64) for part, at in ((train, rows), (valid, held))
    )
    gamma = config.gamma / max(1, int((features.std(axis=0) > 0).sum()))
    landmarks = features[evenly(np.arange(len(rows)), config.landmarks)]
    root = np.linalg.cholesky(gaussian(landmarks, landmarks, gamma) + JITTER * np.eye(len(landmarks)))
    mapped, held_mapped = (
        linalg.solve_triangular(root, gaussian(landmarks, part, gamma), lower=True).T
        for part in (features, held_features)
    )
    pool, held_pool = (grams_of(codec.pool_range, part, at, config) for part, at in ((train, rows), (valid, held)))
    kernel, held_kernel = (
        config.feature_weight * left @ mapped.T + config.pool_share * product(grams, pool)
        for left, grams in ((mapped, pool), (held_mapped, held_pool))
    )
    own: list[tuple[npt.NDArray[np.int64], sparse.csr_matrix]] = []
    for index in range(len(codec.prompts)):
        at, held_at = (np.flatnonzero(of == index) for of in (train.prompt_R[rows], valid.prompt_R))
        ends = codec.gram_range(index)
        grams = grams_of(ends, train, rows[at], config)
        own.append((at, grams))
        if len(at):
            share = 1.0 - config.pool_share
            kernel[np.ix_(at, at)] += share * product(grams, grams)
            held_kernel[np.ix_(held_at, at)] += share * product(grams_of(ends, valid, held_at, config), grams)

    score, held_score = train.score_R[rows].astype(np.float64), valid.score_R.astype(np.float64)
    weight_N = train.weight_R[rows]
    targets = Targets.of(score, rubric, config, weight_N)

    def dual(ridge: float) -> Floats:
        inner = kernel.copy()
        inner[np.diag_indices_from(inner)] += ridge / weight_N
        found: Floats = linalg.solve(inner, targets.columns_NT, assume_a="pos", overwrite_a=True)
        return found

    best = chosen(lambda ridge: held_kernel @ dual(ridge), targets, held_score, rubric, config)
    dual_NT = dual(best.ridge)
    dual_NT[:, 0] *= targets.spread * best.stretch
    raw = targets.centre + held_kernel @ dual_NT[:, 0]
    traits_NK, centre_K, has = fit_traits(kernel, train.traits_RK[rows].astype(np.float64), best.ridge, weight_N)
    dual_NT = np.hstack([dual_NT[:, :1], traits_NK, dual_NT[:, 1:]])
    centre_T = np.concatenate([[targets.centre], centre_K, targets.shares_C])
    intervals = fit_intervals(raw, held_score, config.confidence, config.regions)
    figures = {"valid_qwk": best.qwk} | ({"valid_macro_f1": best.f1} if len(best.bias_C) else {})
    told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    say(f"{len(codec.prompts)} prompts: {len(rows)} texts, ridge {best.ridge:g}, {told}")

    grader = KernelGrader(
        prompts=len(codec.prompts),
        grams=codec.gram_count,
        support=len(landmarks),
        traits=len(codec.traits),
        labels=most_labels(codec, config),
        regions=config.regions,
        pooled=True,
        figures=figures,
    )
    words, characters = _put_grams(grader, codec.pool_range, pool, dual_NT, config.pool_share, config)
    landmark_MT = config.feature_weight * linalg.solve_triangular(root.T, mapped.T @ dual_NT, lower=False)
    put(grader.support_SNF[0], landmarks)
    put(grader.dual_SNM[0], landmark_MT)
    surface = float((gaussian(features, landmarks, gamma) @ landmark_MT[:, 0]).mean())
    for index, (at, grams) in enumerate(own):
        own_words, own_characters = _put_grams(
            grader, codec.gram_range(index), grams, dual_NT[at], 1.0 - config.pool_share, config
        )
        parts = (words + own_words, characters + own_characters, surface)
        put(grader.mean_part_P3[index], parts)
        put(grader.usual_P[index], targets.centre + sum(parts))
        fill_labels(grader, index, best, rubric)
    put(grader.centre_PM[:], np.tile(centre_T, (len(own), 1)))
    put(grader.mean_PF[:], np.tile(usual.mean_F.astype(np.float64), (len(own), 1)))
    put(grader.sd_PF[:], np.tile(usual.sd_F.astype(np.float64), (len(own), 1)))
    put(grader.gamma_P[:], np.full(len(own), gamma))
    put(grader.edges_PR[:], np.tile(intervals.edges_R, (len(own), 1)))
    put(grader.half_width_PR[:], np.tile(intervals.half_width_R, (len(own), 1)))
    put(grader.has_trait_PK[:], np.tile(has, (len(own), 1)))
    return grader.eval()


def _put_grams(
    grader: KernelGrader,
    ends: tuple[int, int, int],
    grams: sparse.csr_matrix,
    dual_NT: Floats,
    share: float,
    config: KernelConfig,
) -> tuple[float, float]:
    """Write the weights of a range of n-grams; return what words and characters add to the score on average.

    Args:
        grader: whose buffers are written.
        ends: of the range.
        grams: (N, n-grams) of the texts that have them, each block times the square root of its weight.
        dual_NT: of these texts.
        share: of the likeness that these n-grams are.
        config: the blocks' weights.
    """
    first, first_character, end = ends
    if not grams.shape[0]:
        return 0.0, 0.0
    roots = block_roots(ends, config)
    weights_VT = share * roots[:, None] * (grams.T @ dual_NT)
    usual_V = np.asarray(grams.mean(axis=0)).ravel() / np.where(roots > 0, roots, 1.0)
    shift_V = usual_V * weights_VT[:, 0]
    put(grader.weight_VM[first:end], weights_VT)
    put(grader.shift_V[first:end], shift_V)
    put(grader.is_character_V[first_character:end], np.ones(end - first_character, np.bool_))
    words = first_character - first
    return float(shift_V[:words].sum()), float(shift_V[words:].sum())
