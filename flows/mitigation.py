"""What a run's summary says of a post-processor: the same held-out answers before and after it."""

from collections.abc import Iterator, Mapping
from typing import Any

MEASURES = ("calibration", "ece", "log_loss", "accuracy", "true_positive_rate", "false_positive_rate")
"""Shown of all that `metrics.json` and `groups.json` have; a map that keeps the order of answers keeps their AUC."""
BY_GROUP = ("auc", *MEASURES)
"""The same of maps by group, which change the order of answers of two groups."""
TITLES = ("before", "after", "difference")


def comparisons_of(scores: Mapping[str, Any], groups: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the `comparisons` of a run's summary, nothing where no post-processor was fitted.

    Args:
        scores: the evaluation's `metrics.json`.
        groups: the fairness stage's `groups.json`.
    """
    told = scores.get("mitigation")
    if told is None or any(title not in told for title in TITLES):
        return []
    parts = [("all", told), *_groups(groups.get("mitigation") or {})]
    return [
        {
            "title": "Before and after the map of the answers",
            "before": "before",
            "after": "after",
            "sentence": " ".join([told["sentence"], *([told["caution"]] if "caution" in told else [])]),
            "rows": [
                {"subject": subject, "measure": measure} | {title: part[title][measure] for title in TITLES}
                for measure in (BY_GROUP if told["by"] else MEASURES)
                for subject, part in parts
            ],
        }
    ]


def _groups(mitigation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for attribute, found in mitigation.get("attributes", {}).items():
        for group in found["groups"]:
            yield f"{attribute}: {group['group']}", group
