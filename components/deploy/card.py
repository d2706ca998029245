"""The model card of a release: the application's text with this release's figures."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined

from components.app import Application
from components.artifacts import Evaluation, FairnessReport, OnnxModel, SequenceDataset

FIGURES = """
## This release

| figure | value | {{ "%g"|format(scores.bootstrap.confidence * 100) }} % interval |
|---|---|---|
{% for name, value in metrics.items() -%}
| {{ name }} | {{ "%.4f"|format(value) }} | {% if name in intervals -%}
{{ "%.4f"|format(intervals[name][0]) }} to {{ "%.4f"|format(intervals[name][1]) }}
{%- else %}not estimable{% endif %} |
{% endfor %}
Held-out students: {{ students }}; scored answers: {{ scored }}; protocol: `{{ protocol }}`. Trained on
{{ steps.train }} answers of {{ counts.train }} students. ONNX differs from torch by at most {{ "%.1e"|format(error) }}.

{{ scores.comparison.sentence }} {{ scores.repeats.meaning }}
{%- if scores.repeats.scored %} {{ scores.repeats.scored }} of {{ scored }} scored rows are such repeats
{%- if scores.without_repeats %}; without them AUC is
{{ "%.4f"|format(scores.without_repeats.metrics.auc) }}{% endif %}.
{%- endif %}

Fairness verdict: **{{ verdict }}**{% if reasons %}: {{ reasons|join("; ") }}{% endif %}. By group: `fairness.json`.
"""


def model_card(
    application: Application,
    data: SequenceDataset,
    model: OnnxModel,
    evaluation: Evaluation,
    fairness: FairnessReport,
    scores: Mapping[str, Any],  # Any: parsed JSON
) -> str:
    """Return the card in Markdown; `scores` is the evaluation's `metrics.json`."""
    text = application.card_file.read_text(encoding="utf-8").rstrip()
    figures = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True).from_string(FIGURES)
    return f"{text}\n" + figures.render(
        metrics=dict(sorted(evaluation.metrics.items(), key=lambda metric: (metric[0] != "auc", metric[0]))),
        intervals=evaluation.intervals,
        students=evaluation.students,
        scored=evaluation.scored,
        protocol=evaluation.protocol,
        steps=data.steps,
        counts=data.students,
        error=model.max_abs_error,
        verdict=fairness.verdict,
        reasons=fairness.reasons,
        scores=scores,
    )
