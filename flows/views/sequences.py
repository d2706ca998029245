"""What a run of knowledge tracing, or another application on student logs, says of its data and figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from flows.views.metrics import by_name, printed

HEADLINE = "auc"


def figures(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the summary says of `metrics.json` beside the metrics: baselines, repeats, warnings."""
    return {
        "baselines": _baselines(scores),
        "repeats": scores["repeats"],
        "without_repeats": _without_repeats(scores),
        "warnings": scores["warnings"],
    }


def lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that the command line shows of a summary's data and figures."""
    data, level = summary["data"], summary["confidence"]
    yield (
        f"{data['rows']} answers of {data['students']} students ({data['layout']}, protocol {data['protocol']}), "
        f"{data['quarantined']} rows quarantined"
    )
    yield from _scores(summary["metrics"], summary["baselines"], level)
    if (kept := summary["without_repeats"]) is not None:
        yield (
            f"without the {summary['repeats']['scored']} rows that repeat the problem of the row before, which shows "
            f"the answer ({kept['scored']} rows left):"
        )
        yield from _scores(kept["metrics"], kept["baselines"], level)


def _scores(metrics: Mapping[str, Any], baselines: Mapping[str, Any], confidence: float) -> Iterator[str]:
    yield from printed(metrics, confidence)
    for name, auc in baselines["auc"].items():
        yield f"  auc of {name.replace('_', ' ')} for comparison: {auc:.4f}"
    mark = "" if baselines["comparison"]["verdict"] == "better" else "warning: "
    yield f"  {mark}{baselines['comparison']['sentence']}"


def _baselines(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return the baselines' AUC over some rows, and how the model compares with the best of them."""
    return {
        "auc": {name: found["metrics"]["auc"] for name, found in rows["baselines"].items()},
        "comparison": rows["comparison"],
    }


def _without_repeats(scores: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the summary says of all scored rows, for those that repeat no problem; None where there are none."""
    rows = scores["without_repeats"]
    if rows is None:
        return None
    return {
        "scored": rows["counts"]["scored"],
        "metrics": by_name(rows["metrics"], rows["intervals"], HEADLINE),
        "baselines": _baselines(rows),
    }
