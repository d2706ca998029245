"""Prompts: for each one in the data its scale and where that is from, its traits, and what is known of its text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import polars as pl

from components.artifacts import JsonValue
from components.writing.ingest.config import Rubric
from components.writing.ingest.responses import PromptFacts
from components.writing.ingest.rubrics import rubric_of, step_of
from components.writing.schema import TRAIT

FEW_RESPONSES = 30
"""A prompt with fewer scored responses is warned about; whether it is trained on is training's to decide."""
Origin = Literal["configuration", "layout", "labels", "data", "unknown"]


def prompts_of(
    responses: pl.DataFrame,
    traits: Sequence[str],
    configured: Mapping[str, Rubric],
    of_layout: Mapping[str, Rubric],
    labels: Sequence[str],
    facts: Iterable[PromptFacts],
) -> list[JsonValue]:
    """Return one object per prompt, sorted by its id.

    Each holds `prompt`, `low`, `high` and `step` of the scale (null where nothing tells it), `range_from` (which of
    `configuration`, `layout`, `labels` and `data` told it), `scores_seen`, `rows`, `rows_scored`, `labels` (names of
    the grades or null), `text` (or null), `reference_answers`, and `traits`: name -> `low`, `high` and `range_from`.

    Args:
        responses: kept rows.
        traits: names of all traits.
        configured: rubrics of the configuration.
        of_layout: rubrics that the layout knows.
        labels: names of the grades, the lowest first; empty where scores are numbers.
        facts: what the source tells of its prompts.
    """
    told: dict[str, PromptFacts] = {}
    for fact in facts:
        known = told.get(fact.prompt, fact)
        told[fact.prompt] = PromptFacts(
            prompt=fact.prompt,
            text=known.text or fact.text,
            reference_answers=tuple(dict.fromkeys((*known.reference_answers, *fact.reference_answers))),
        )
    found: list[JsonValue] = []
    for (name,), rows in responses.group_by("prompt", maintain_order=True):
        prompt = str(name)
        rubric = rubric_of(configured, prompt)
        origin: Origin = "configuration"
        if rubric is None:
            rubric, origin = rubric_of(of_layout, prompt), "layout"
        own = told.get(prompt)
        text = rubric.text if rubric is not None and rubric.text is not None else (own.text if own else None)
        references = rubric.reference_answers if rubric is not None else ()
        scores = [float(score) for score in rows["score"].drop_nulls().unique().sort()]
        found.append(
            {
                "prompt": prompt,
                **_scale(rubric, origin, scores, labels),
                "scores_seen": [*scores],
                "rows": rows.height,
                "rows_scored": rows.height - rows["score"].null_count(),
                "labels": [*labels] or None,
                "text": text,
                "reference_answers": [*(references or (own.reference_answers if own else ()))],
                "traits": {t: _trait_scale(rubric, origin, t, rows) for t in traits if _has(rows, t, rubric)},
            }
        )
    return found


def _scale(
    rubric: Rubric | None, origin: Origin, scores: Sequence[float], labels: Sequence[str]
) -> dict[str, JsonValue]:
    if rubric is not None:
        return {"low": rubric.low, "high": rubric.high, "step": rubric.step, "range_from": origin}
    if labels:
        return {"low": 0.0, "high": len(labels) - 1.0, "step": 1.0, "range_from": "labels"}
    if not scores:
        return {"low": None, "high": None, "step": None, "range_from": "unknown"}
    step = step_of(scores)
    # A single score seen is no scale yet; one step above it makes the smallest there is.
    return {"low": scores[0], "high": max(scores[-1], scores[0] + step), "step": step, "range_from": "data"}


def _has(rows: pl.DataFrame, trait: str, rubric: Rubric | None) -> bool:
    return rows[TRAIT + trait].null_count() < rows.height or (rubric is not None and trait in rubric.traits)


def _trait_scale(rubric: Rubric | None, origin: Origin, trait: str, rows: pl.DataFrame) -> JsonValue:
    if rubric is not None and trait in rubric.traits:
        own = rubric.traits[trait]
        return {"low": own.low, "high": own.high, "step": 1.0, "range_from": origin}
    scores = [float(score) for score in rows[TRAIT + trait].drop_nulls().unique().sort()]
    return {**_scale(None, "data", scores, ())}
