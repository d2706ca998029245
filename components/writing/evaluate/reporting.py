"""From a split and its predictions to the table that is kept and the report on it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from components.writing.evaluate.baselines import Baseline
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.evaluate.dataset import Split
from components.writing.evaluate.figures import Figure
from components.writing.evaluate.predict import Predictions
from components.writing.evaluate.report import PromptDetail, Report
from components.writing.evaluate.rows import Human
from components.writing.evaluate.scores import Figures, scores_of, trait_figures
from components.writing.scale import RowScales, Scale
from components.writing.schema import RATER, TRAIT

Floats = npt.NDArray[np.float64]

MAX_POINTS = 101
"""Of a scale with more points, how often each was given is not listed."""
TOGETHER = "all prompts"
ANY = Scale(low=0.0, high=1.0)
"""Stands for the scale of a trait that a prompt does not have; no row is measured by it."""


def predictions_table(split: Split, found: Predictions, traits: Sequence[str]) -> pl.DataFrame:
    """Return one row per response of the split, in its order; columns as the stage says."""
    scales = RowScales.of([s.score for s in split.scales], split.prompt)
    model = found.score.within(scales)
    low, high = (
        pl.Series([None] * split.rows, dtype=pl.Float64) if ends is None else pl.Series(ends)
        for ends in (model.low, model.high)
    )
    raters = [c for c in split.table.columns if c.startswith(RATER)]
    columns: dict[str, pl.Series | Floats] = {
        "score": split.score,
        **{name: split.table[name].cast(pl.Float64) for name in raters},
        "prediction": model.raw,
        "rounded": model.given(scales),
        "low": low,
        "high": high,
        "abstained": split.abstained,
    }
    if found.traits is not None:
        columns |= {f"{TRAIT}{name}": found.traits[:, k] for k, name in enumerate(traits)}
    return split.table.select("response", "student", "prompt").with_columns(
        pl.Series(name, values).fill_nan(None) if name.startswith(TRAIT) else pl.Series(name, values)
        for name, values in columns.items()
    )


def report_of(
    split: Split,
    found: Predictions,
    traits: Sequence[str],
    baselines: Mapping[str, Baseline],
    config: WritingEvaluateConfig,
    *,
    protocol: str,
) -> Report:
    """Return the report on the responses that the model did not abstain from."""
    _, student = np.unique(split.table["student"].to_numpy(), return_inverse=True)
    if config.pool_prompts:
        split = pooled(split)
    everybody = Human(
        score=split.score,
        prompt=split.prompt,
        student=student.astype(np.int64),
        ratings=split.ratings,
        scales=[s.score for s in split.scales],
    )
    every = found.score.within(everybody.row_scales)
    refused = split.abstained.is_not_null().to_numpy()
    rows = np.flatnonzero(~refused)
    human, model = everybody.at(rows), every.at(rows)
    its = {
        name: Baseline(title=baseline.title, formula=baseline.formula, raw=baseline.raw[rows])
        for name, baseline in baselines.items()
    }
    by_trait = _traits(split, found, traits, rows, config)
    rounded = model.given(human.row_scales)
    details = []
    for p, scale in enumerate(split.scales):
        own = human.prompt == p
        details.append(
            PromptDetail(
                scale=scale,
                responses=int((split.prompt == p).sum()),
                abstained=int(((split.prompt == p) & refused).sum()),
                traits={name: figures[p] for name, figures in by_trait.items() if name in scale.traits},
                distribution=_distribution(scale.score, human.score[own], rounded[own]),
            )
        )
    return Report(
        protocol=protocol,
        responses=split.rows,
        abstained=dict(split.abstained.drop_nulls().value_counts().iter_rows()),
        scores=scores_of(human, model, its, config),
        details=tuple(details),
    )


def pooled(split: Split) -> Split:
    """Return the split with all prompts that share a rubric, traits included, as one."""
    kinds: dict[str, int] = {}
    at, scales = [], []
    for scale in split.scales:
        key = repr((scale.score, sorted(scale.traits.items())))
        if key not in kinds:
            kinds[key] = len(kinds)
            low, high = scale.score.low, scale.score.high
            scales.append(replace(scale, prompt=f"all from {low:g} to {high:g}"))
        at.append(kinds[key])
    if len(scales) == 1:
        scales = [replace(scales[0], prompt=TOGETHER)]
    return replace(split, prompt=np.array(at, np.int64)[split.prompt], scales=tuple(scales))


def _traits(
    split: Split,
    found: Predictions,
    names: Sequence[str],
    rows: npt.NDArray[np.intp],
    config: WritingEvaluateConfig,
) -> dict[str, list[Figures]]:
    """Return trait -> figures of each prompt, for the traits that the model scores."""
    if found.traits is None:
        return {}
    out: dict[str, list[Figures]] = {}
    for k, name in enumerate(names):
        has = np.array([name in s.traits for s in split.scales], np.bool_)[split.prompt[rows]]
        there = rows[has & np.isfinite(split.traits[rows, k]) & np.isfinite(found.traits[rows, k])]
        if not len(there):
            out[name] = [{"qwk": Figure(status="too_few")} for _ in split.scales]
            continue
        _, student = np.unique(split.table["student"].to_numpy()[there], return_inverse=True)
        scales = [s.traits.get(name, ANY) for s in split.scales]
        human = Human(
            score=RowScales.of(scales, split.prompt[there]).snapped(split.traits[there, k]),
            prompt=split.prompt[there],
            student=student.astype(np.int64),
            ratings=np.zeros((len(there), 0)),
            scales=scales,
        )
        out[name] = list(trait_figures(human, found.traits[there, k], config))
    return out


def _distribution(scale: Scale, human: Floats, model: Floats) -> dict[str, list[float]] | None:
    """Return each score and how often humans, to the nearest, and the model gave it."""
    if scale.points > MAX_POINTS:
        return None

    def counted(values: Floats) -> list[float]:
        places = np.floor((values - scale.low) / scale.step + 0.5).astype(np.int64)
        return [int(n) for n in np.bincount(places, minlength=scale.points)]

    scores = [scale.low + at * scale.step for at in range(scale.points)]
    return {"scores": scores, "human": counted(human), "model": counted(model)}
