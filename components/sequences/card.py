"""The figures on the model card of a release of knowledge tracing and its like."""

FIGURES = """
{%- macro shown(found) %}
{%- if found.value is defined %}{{ "%.4f"|format(found.value) }}{% else %}not estimable{% endif %}
{%- endmacro %}
## This release

| figure | value | {{ "%g"|format(scores.bootstrap.confidence * 100) }} % interval |
|---|---|---|
{% for name, value in metrics.items() -%}
| {{ name }} | {{ "%.4f"|format(value) }} | {% if name in intervals -%}
{{ "%.4f"|format(intervals[name][0]) }} to {{ "%.4f"|format(intervals[name][1]) }}
{%- else %}not estimable{% endif %} |
{% endfor %}
Held-out students: {{ students }}; scored answers: {{ scored }}; protocol: `{{ protocol }}`. Trained on
{{ data.steps.train }} answers of {{ data.students.train }} students.
ONNX differs from torch by at most {{ "%.1e"|format(error) }}.

{{ scores.comparison.sentence }} {{ scores.repeats.meaning }}
{%- if scores.repeats.scored %} {{ scores.repeats.scored }} of {{ scored }} scored rows are such repeats
{%- if scores.without_repeats %}; without them AUC is
{{ "%.4f"|format(scores.without_repeats.metrics.auc) }}{% endif %}.
{%- endif %}
{%- if scores.reweighing is defined %}

Training rows were weighed by `{{ scores.reweighing.attribute }}` (`{{ scores.reweighing.method }}`,
{{ scores.reweighing.groups }} groups, weights {{ scores.reweighing.smallest_weight }} to
{{ scores.reweighing.largest_weight }}). The attribute is used for training alone; the service does not ask for it.
{{ scores.reweighing.caution }}
{%- endif %}
{%- if scores.mitigation is defined %}

{{ scores.mitigation.sentence }}
{%- if scores.mitigation.before is defined %} Before and after, on the held-out answers:
{%- for name, title in [("log_loss", "log loss"), ("calibration", "mean error"), ("ece", "calibration error")] %}
{{ title }} {{ shown(scores.mitigation.before[name]) }} and {{ shown(scores.mitigation.after[name]) }}
{{- "." if loop.last else ";" }}
{%- endfor %}
{%- endif %}
{%- if scores.mitigation.caution is defined %}

**{{ scores.mitigation.caution }}**
{%- if scores.mitigation.before is defined %}

A probability p of the network becomes sigmoid(slope logit(p) + intercept). A request names its student's
`{{ scores.mitigation.by }}` in `group`:

| group | slope | intercept |
|---|---|---|
{% for its in scores.mitigation.groups -%}
| {{ its.group|replace("|", "/") }} | {{ "%.4g"|format(its.slope) }} | {{ "%+.4g"|format(its.intercept) }} |
{% endfor -%}
{% with all = scores.mitigation -%}
| any other, or none | {{ "%.4g"|format(all.slope) }} | {{ "%+.4g"|format(all.intercept) }} |
{%- endwith %}
{%- endif %}
{%- endif %}
{%- endif %}

Fairness verdict: **{{ verdict }}**{% if reasons %}: {{ reasons|join("; ") }}{% endif %}. By group: `fairness.json`.
"""
