"""The model card of a release: the application's text with this release's figures."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined

from components.app import Application
from components.artifacts import Artifact, Evaluation, FairnessReport, OnnxModel
from components.deploy.groups import groups_in_markdown


def model_card(
    application: Application,
    data: Artifact,
    model: OnnxModel,
    evaluation: Evaluation,
    fairness: FairnessReport,
    scores: Mapping[str, Any],  # Any: parsed JSON
    groups: Mapping[str, Any] | None = None,  # Any: as above
) -> str:
    """Return the card in Markdown; `scores` is the evaluation's `metrics.json`, `groups` the groups' `groups.json`."""
    text = application.card_file.read_text(encoding="utf-8").rstrip()
    chain = application.kind
    figures = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True).from_string(
        chain.part(chain.card)
    )
    by_group = "" if groups is None else f"\n{groups_in_markdown(groups, chain.headline)}"
    shown = figures.render(
        metrics=dict(sorted(evaluation.metrics.items(), key=lambda metric: (metric[0] != chain.headline, metric[0]))),
        intervals=evaluation.intervals,
        students=evaluation.students,
        scored=evaluation.scored,
        protocol=evaluation.protocol,
        data=data,
        error=model.max_abs_error,
        verdict=fairness.verdict,
        reasons=fairness.reasons,
        scores=scores,
    )
    return f"{text}\n{shown.rstrip()}\n{by_group}"
