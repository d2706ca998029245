"""The figures on the model card of a release of a grading application."""

FIGURES = """
{%- macro ends(interval) %}{% if interval %}{{ "%.4f"|format(interval[0]) }} to {{ "%.4f"|format(interval[1]) }}
{%- else %}not estimable{% endif %}{% endmacro %}
{%- macro number(value) %}
{%- if value is none %}not estimable{% else %}{{ "%.3f"|format(value) }}{% endif %}
{%- endmacro %}
{%- macro row(prompt) %}
{%- set scale, found, humans, prmse = prompt.scale, prompt.metrics, prompt.humans, prompt.prmse %}
{%- set range = "%g to %g"|format(scale.low, scale.high) -%}
| {{ prompt.prompt|replace("|", "/") }} | {{ range }} | {{ prompt.counts.scored }} |
{%- if prompt.status != "ok" %} too few | | | | | | |
{%- else %} {{ number(found.qwk) }} | {% if humans %}{{ number(humans.metrics.qwk) }}{% endif %} |
{%- for name in ["exact", "adjacent", "pearson", "smd"] %} {{ number(found[name]) }} |{% endfor %}
{%- if prmse %} {{ number(prmse.metrics.prmse) }}{% endif %} |
{%- endif %}
{%- endmacro %}
## This release

| figure | value | {{ "%g"|format(scores.bootstrap.confidence * 100) }} % interval |
|---|---|---|
{% for name, value in metrics.items() -%}
| {{ name }} | {{ "%.4f"|format(value) }} | {{ ends(intervals.get(name)) }} |
{% endfor %}
Held-out responses with a human score and the model's: {{ scored }}, of {{ students }} students; means over
{{ scores.counts.prompts_counted }} of {{ scores.counts.prompts }} prompts (of smd the largest). Abstained:
{{ scores.abstained.responses }} of {{ scores.counts.responses }}. Trained on {{ data.responses.train }} responses of
{{ data.students.train }} students; protocol: `{{ protocol }}`. ONNX differs from torch by at most
{{ "%.1e"|format(error) }}.

{% if data.overrides -%}
Of the human scores, {{ data.overrides }} are teachers' overrides of an earlier release's (file of overrides:
`{{ data.overrides_sha256[:12] }}`). They are not a sample of all responses: teachers correct what looks wrong to them.

{% endif -%}
{% if scores.humans -%}
Two raters on the {{ scores.counts.double_scored }} double-scored of these responses: QWK
{{ number(scores.humans.metrics.qwk) }}; the model on the same: {{ number(scores.humans.metrics.model_qwk) }}.
{%- else -%}
No prompt has enough responses with two ratings: nothing says how well two humans would agree.
{%- endif %}
{{ scores.comparison.sentence }}

| prompt | scale | responses | QWK | two raters | exact | adjacent | r | SMD | PRMSE |
|---|---|---|---|---|---|---|---|---|---|
{% for prompt in scores.prompts -%}
{{ row(prompt) }}
{% endfor %}
{% if scores.limits.crossed %}Outside its limits: {{ scores.limits.crossed|join("; ") }}.
{% else %}Inside the limits that it was accepted by
{%- if scores.limits.not_judged %}, as far as they could be judged: {{ scores.limits.not_judged|join("; ") }}
{%- endif %}.
{% endif %}{%- if scores.reweighing is defined %}

Training rows were weighed by `{{ scores.reweighing.attribute }}` (`{{ scores.reweighing.method }}`,
{{ scores.reweighing.groups }} groups, weights {{ scores.reweighing.smallest_weight }} to
{{ scores.reweighing.largest_weight }}). The attribute is used for training alone; the service does not ask for it.
{{ scores.reweighing.caution }}
{% endif %}
Fairness verdict: **{{ verdict }}**{% if reasons %}: {{ reasons|join("; ") }}{% endif %}. By group: `fairness.json`.
"""
