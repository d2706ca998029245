"""What a run of a grading application, on scored writing, says of its data and figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from flows.views.metrics import by_name, printed

HEADLINE = "qwk"
SHOWN = 12
"""The command line shows so many prompts; the report has all."""


def figures(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the summary says of `metrics.json` beside the metrics: prompts, humans, baselines, limits."""
    humans = scores["humans"]
    return {
        "prompts": [_prompt(prompt) for prompt in scores["prompts"]],
        "humans": None if humans is None else by_name(humans["metrics"], humans["intervals"], HEADLINE),
        "baselines": {
            "qwk": {name: found["metrics"][HEADLINE] for name, found in scores["baselines"].items()},
            "comparison": scores["comparison"],
        },
        "abstained": scores["abstained"],
        "limits": scores["limits"],
        "warnings": scores["warnings"],
    }


def lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that the command line shows of a summary's data and figures."""
    data = summary["data"]
    yield (
        f"{data['rows']} responses of {data['students']} students to {data['prompts']} prompts ({data['layout']}, "
        f"protocol {data['protocol']}), {data['quarantined']} rows quarantined"
    )
    if data.get("overrides"):  # older records have none
        yield f"  {data['overrides']} of their scores are teachers' overrides (file {data['overrides_sha256'][:12]})"
    yield from printed(summary["metrics"], summary["confidence"])
    humans = summary["humans"]
    if humans is not None and humans["qwk"]["value"] is not None:
        yield (
            f"  qwk of two raters {humans['qwk']['value']:.4f}, of the model on the same responses "
            f"{humans['model_qwk']['value']:.4f}"
        )
    for name, qwk in summary["baselines"]["qwk"].items():
        yield f"  qwk of {name.replace('_', ' ')} for comparison: {_number(qwk)}"
    for prompt in summary["prompts"][:SHOWN]:
        beside = "" if prompt["human_qwk"] is None else f" (two raters {prompt['human_qwk']:.3f})"
        found = "too few responses" if prompt["status"] != "ok" else f"qwk {_number(prompt['qwk'], 3)}{beside}"
        yield f"  prompt {prompt['prompt']}: {found}, {prompt['scored']} scored"
    if len(summary["prompts"]) > SHOWN:
        yield f"  and {len(summary['prompts']) - SHOWN} more prompts, in the report"
    abstained = summary["abstained"]
    if abstained["responses"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in abstained["reasons"].items())
        yield f"  abstained from {abstained['share']:.1%} of the responses: {reasons}"
    verdict = summary["baselines"]["comparison"]
    yield f"  {'' if verdict['verdict'] == 'better' else 'warning: '}{verdict['sentence']}"
    for line in summary["limits"]["crossed"]:
        yield f"  limit crossed: {line}"


def _prompt(prompt: Mapping[str, Any]) -> dict[str, Any]:
    humans = prompt["humans"]
    return {
        "prompt": prompt["prompt"],
        "status": prompt["status"],
        "scored": prompt["counts"]["scored"],
        "qwk": prompt["metrics"][HEADLINE],
        "human_qwk": None if humans is None else humans["metrics"][HEADLINE],
    }


def _number(value: float | None, decimals: int = 4) -> str:
    return "not estimable" if value is None else f"{value:.{decimals}f}"
