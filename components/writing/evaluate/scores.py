"""A model's figures by prompt and over all, beside those of humans and of baselines, on the same responses.

Everything is drawn together: one set of resamples of the students gives the intervals of the model, the raters and the
baselines. A difference's interval therefore leaves out what all share, such as how hard the drawn responses are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.evaluate.verdicts import Difference, Verdict, sentence_of, verdict_of
from components.writing.agreement import Pair
from components.writing.evaluate import metrics
from components.writing.evaluate.baselines import Baseline
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.evaluate.figures import Figure, absolute, figure_of, figures_at
from components.writing.evaluate.rows import (
    Human,
    Predicted,
    beside_raters_values,
    interval_values,
    rater_values,
    raw_values,
    rounded_values,
)
from components.writing.prmse import prmse_of, prmse_values, rater_factor
from components.writing.sums import drawn_sums, side_by_side, students_in, whole_sums

Floats = npt.NDArray[np.float64]
Figures = Mapping[str, Figure]
HEADLINE = "qwk"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptScores:
    """What was found out about one prompt."""

    scored: int
    students: int
    double_scored: int
    is_counted: bool
    """Whether the prompt has enough responses to be part of the means."""
    model: Figures
    humans: Figures | None
    """Two raters beside the model; None where no response has two ratings."""
    prmse: Figures | None
    """None where no response has two ratings on a scale that can be brought to the score's."""
    rating_factor: float | None
    """What a rating is multiplied by to be on the score's scale."""
    baselines: Mapping[str, Figures]
    is_constant: bool
    """Whether the model gives every response the same score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScores:
    """One baseline over all prompts."""

    title: str
    formula: str
    figures: Figures
    differences: Mapping[str, Difference]
    """Of each figure that both have: model minus baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """All figures of a model on the responses that it and humans have scored."""

    scored: int
    students: int
    prompts: tuple[PromptScores, ...]
    """In the order of the scales."""
    model: Figures
    """Over the prompts that count."""
    humans: Figures | None
    baselines: Mapping[str, BaselineScores]

    @property
    def best(self) -> str:
        """Name of the baseline with the highest QWK on these rows: that favours the baselines, never the model."""
        numbers = {name: found.figures[HEADLINE].number for name, found in self.baselines.items()}
        return max(numbers, key=lambda name: -np.inf if np.isnan(numbers[name]) else numbers[name])

    @property
    def verdict(self) -> Verdict:
        """`better` where the whole interval of the difference in QWK to the best baseline is above 0."""
        found = self.baselines[self.best].differences.get(HEADLINE)
        return "not_estimable" if found is None else verdict_of(found.interval)

    def sentence(self, confidence: float) -> str:
        """Return the verdict in plain words."""
        best = self.baselines[self.best]
        found = best.differences.get(HEADLINE)
        if found is None:
            return f"Whether the model is better than {best.title} cannot be told: QWK cannot be estimated."
        own, other = self.model[HEADLINE].number, best.figures[HEADLINE].number
        return sentence_of("QWK", own, best.title, other, found, confidence=confidence)


def scores_of(
    human: Human, model: Predicted, baselines: Mapping[str, Baseline], config: WritingEvaluateConfig
) -> Scores:
    """Return all figures.

    Args:
        human: the responses, N rows of P prompts.
        model: the model's predictions of the rows, within the rubric's range.
        baselines: at least one; their `raw` are (N,).
        config: says how many resamples, from which seed, the confidence, and how many responses a prompt needs.
    """
    cells, students = len(human.scales), human.students
    factors = _factors(human)
    blocks = [
        rounded_values(human, model),
        raw_values(human, model),
        interval_values(human, model),
        rater_values(human),
        beside_raters_values(human, model),
        prmse_values(model.raw, human.ratings * np.array([f or np.nan for f in factors])[human.prompt][:, None]),
    ]
    for baseline in baselines.values():
        its = Predicted(raw=human.row_scales.clipped(baseline.raw))
        blocks += [rounded_values(human, its), raw_values(human, its)]
    values, places = side_by_side(blocks)
    whole = whole_sums(values, human.prompt, cells)
    drawn = drawn_sums(
        values, human.prompt, cells, human.student, students=students, resamples=config.resamples, seed=config.seed
    )
    point, sampled = (
        _measured(s, places, human, list(baselines), has_interval=model.low is not None) for s in (whole, drawn)
    )
    scored = whole[:, places[0]][:, 0].astype(np.int64)
    double = whole[:, places[3]][:, 0].astype(np.int64)
    counted, beside = scored >= config.min_prompt_scored, double >= config.min_prompt_scored
    clusters = students_in(human.prompt, cells, human.student)
    flat = Pair(whole[:, places[0]]).variance_y == 0

    def at(kind: str, p: int, is_enough: bool) -> dict[str, Figure]:
        return figures_at(
            point[kind],
            sampled[kind],
            p,
            confidence=config.confidence,
            students=int(clusters[p]),
            is_enough=is_enough,
        )

    def over(kind: str, which: npt.NDArray[np.bool_]) -> tuple[dict[str, Figure], dict[str, Floats], dict[str, Floats]]:
        ours = metrics.over_prompts(point[kind], point[kind], which)
        theirs = metrics.over_prompts(sampled[kind], point[kind], which)
        found = {n: figure_of(float(ours[n]), theirs[n], confidence=config.confidence, students=students) for n in ours}
        if metrics.LARGEST in found:
            found[metrics.LARGEST] = absolute(found[metrics.LARGEST])
        return found, ours, theirs

    own, own_point, own_drawn = over("model", counted)
    others = {}
    for name, baseline in baselines.items():
        figures, its_point, its_drawn = over(f"baseline {name}", counted)
        apart = {
            n: figure_of(
                float(own_point[n] - its_point[n]),
                own_drawn[n] - its_drawn[n],
                confidence=config.confidence,
                students=students,
            )
            for n in figures
            if n != metrics.LARGEST
        }
        others[name] = BaselineScores(
            title=baseline.title,
            formula=baseline.formula,
            figures=figures,
            differences={
                n: Difference(value=f.value, interval=f.interval) for n, f in apart.items() if f.value is not None
            },
        )
    return Scores(
        scored=len(human.score),
        students=students,
        prompts=tuple(
            PromptScores(
                scored=int(scored[p]),
                students=int(clusters[p]),
                double_scored=int(double[p]),
                is_counted=bool(counted[p]),
                model=at("model", p, bool(counted[p])),
                humans=at("humans", p, bool(beside[p])) if double[p] else None,
                prmse=at("prmse", p, bool(beside[p])) if double[p] and factors[p] is not None else None,
                rating_factor=factors[p],
                baselines={name: at(f"baseline {name}", p, bool(counted[p])) for name in baselines},
                is_constant=bool(flat[p]),
            )
            for p in range(cells)
        ),
        model=own,
        humans=over("humans", beside)[0] if beside.any() else None,
        baselines=others,
    )


def trait_figures(human: Human, raw: Floats, config: WritingEvaluateConfig) -> list[Figures]:
    """Return for each prompt the figures of one trait, `too_few` where it has fewer responses than it needs.

    Args:
        human: the responses whose trait humans and model have scored; `score` and `scales` are the trait's.
        raw: (N,) the model's scores of the trait.
        config: as in `scores_of`.
    """
    cells, scales = len(human.scales), human.row_scales
    its = Predicted(raw=scales.clipped(raw))
    values, places = side_by_side([rounded_values(human, its), raw_values(human, its)])
    whole = whole_sums(values, human.prompt, cells)
    drawn = drawn_sums(
        values,
        human.prompt,
        cells,
        human.student,
        students=human.students,
        resamples=config.resamples,
        seed=config.seed,
    )
    point, sampled = (
        metrics.agreement_of(Pair(s[..., places[0]]), Pair(s[..., places[1]]), human.scales) for s in (whole, drawn)
    )
    clusters = students_in(human.prompt, cells, human.student)
    return [
        figures_at(
            point,
            sampled,
            p,
            confidence=config.confidence,
            students=int(clusters[p]),
            is_enough=bool(whole[p, 0] >= config.min_prompt_scored),
        )
        for p in range(cells)
    ]


def _factors(human: Human) -> list[float | None]:
    """Return for each prompt what brings its ratings to the score's scale."""
    found = []
    for p, scale in enumerate(human.scales):
        own = human.prompt == p
        found.append(rater_factor(human.score[own], human.ratings[own], scale.step))
    return found


def _measured(
    sums: Floats, places: Sequence[slice], human: Human, baselines: Sequence[str], *, has_interval: bool
) -> dict[str, dict[str, Floats]]:
    """Return kind -> figure -> (..., P) from (..., P, M) sums of the blocks of `scores_of`."""
    rounded, raw, ends, raters, beside, prmse, *others = (sums[..., place] for place in places)
    model = metrics.agreement_of(Pair(rounded), Pair(raw), human.scales)
    if has_interval:
        model |= metrics.intervals_of_model(ends)
    found = {
        "model": model,
        "humans": metrics.humans_of(Pair(raters), Pair(beside)),
        "prmse": prmse_of(prmse),
    }
    for name, (its_rounded, its_raw) in zip(baselines, zip(others[::2], others[1::2], strict=True), strict=True):
        found[f"baseline {name}"] = metrics.agreement_of(Pair(its_rounded), Pair(its_raw), human.scales)
    return found
