"""Rubrics: on which scale each prompt is scored, the scores that lie outside it, and scores resolved from raters'."""

from collections.abc import Mapping, Sequence

import polars as pl

from components.ingest.faults import Fault
from components.writing.ingest.config import EVERY, Resolution, Rubric
from components.writing.schema import TRAIT

STEPS = (1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0.01)
"""Steps that are looked for in scores without a rubric, the first that fits; the last where none does."""
CLOSE = 1e-6
"""What a score may be off a point of the scale, as decimals are not exact."""


def chosen(configured: Mapping[str, Rubric], of_layout: Mapping[str, Rubric]) -> Mapping[str, Rubric]:
    """Return prompt -> rubric, where the configuration stands above what the layout knows of its own prompts."""
    return {**of_layout, **configured}


def rubric_of(rubrics: Mapping[str, Rubric], prompt: str) -> Rubric | None:
    """Return the rubric of a prompt, or None where only the data tell its scale."""
    return rubrics.get(prompt, rubrics.get(EVERY))


def _by_prompt(rubrics: Mapping[str, Rubric], values: Mapping[str, float], otherwise: float | None) -> pl.Expr:
    """Return an expression that gives the value of each row's prompt."""
    named = {prompt: value for prompt, value in values.items() if prompt != EVERY}
    # A prompt of its own without a value must not get that of all others.
    default = values.get(EVERY, otherwise)
    silent = [prompt for prompt in rubrics if prompt != EVERY and prompt not in named]
    prompt = pl.col("prompt")
    found = prompt.replace_strict(named, default=default, return_dtype=pl.Float64) if named else pl.lit(default)
    return pl.when(prompt.is_in(silent)).then(None).otherwise(found).cast(pl.Float64) if silent else found


def resolved(columns: Sequence[str], how: Resolution, rubrics: Mapping[str, Rubric]) -> pl.Expr:
    """Return the score that counts, from the scores in `columns`; null where there is none of them."""
    scores = pl.concat_list(columns).list.drop_nulls()
    if how == "first":
        return scores.list.first()
    if how == "sum":
        return pl.when(scores.list.len() > 0).then(scores.list.sum())
    if how == "mean":
        return scores.list.mean()
    low = _by_prompt(rubrics, {p: r.low for p, r in rubrics.items()}, 0.0).fill_null(0.0)
    step = _by_prompt(rubrics, {p: r.step for p, r in rubrics.items()}, 1.0).fill_null(1.0)
    return low + ((scores.list.mean() - low) / step + 0.5 + CLOSE).floor() * step


def outside(rubrics: Mapping[str, Rubric], traits: Sequence[str], source: Mapping[str, str]) -> list[Fault]:
    """Return the faults of scores that no rubric has.

    Args:
        rubrics: prompt -> rubric; `*` is all others.
        traits: names of the traits in the data.
        source: our column -> the source's name for it, for the quarantine.
    """
    if not rubrics:
        return []
    low = _by_prompt(rubrics, {p: r.low for p, r in rubrics.items()}, None)
    high = _by_prompt(rubrics, {p: r.high for p, r in rubrics.items()}, None)
    step = _by_prompt(rubrics, {p: r.step for p, r in rubrics.items()}, None)
    score = pl.col("score")
    steps = (score - low) / step
    faults = [
        Fault(
            column=source.get("score"),
            reason="score_outside_rubric",
            is_at_fault=(score < low - CLOSE) | (score > high + CLOSE),
        ),
        Fault(
            column=source.get("score"),
            reason="score_between_points",
            is_at_fault=(steps - steps.round()).abs() > CLOSE,
        ),
    ]
    for name in traits:
        ranges = {prompt: rubric.traits[name] for prompt, rubric in rubrics.items() if name in rubric.traits}
        if not ranges:
            continue
        lowest = _by_prompt(rubrics, {p: r.low for p, r in ranges.items()}, None)
        highest = _by_prompt(rubrics, {p: r.high for p, r in ranges.items()}, None)
        value = pl.col(TRAIT + name)
        faults.append(
            Fault(
                column=source.get(TRAIT + name),
                reason="trait_outside_rubric",
                is_at_fault=(value < lowest - CLOSE) | (value > highest + CLOSE),
            )
        )
    return faults


def step_of(scores: Sequence[float]) -> float:
    """Return the largest usual step of which all scores are whole multiples; the smallest where there is none."""
    for step in STEPS:
        if all(abs(score / step - round(score / step)) <= CLOSE for score in scores):
            return step
    return STEPS[-1]
