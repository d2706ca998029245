"""All that the page shows, read from the files that the stages published; `summary.json` is the same.

Names of groups that are too small are left out here, should a file have them: what is not read is not shown.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.app import load_application
from components.artifacts import Artifact
from components.store import Store
from flows.summary import RunSummary

Plain = Mapping[str, Any]  # parsed JSON
FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the page is made from; plain JSON values."""

    summary: Plain
    """`RunSummary.to_json()`."""
    metrics: Plain
    """The evaluation's `metrics.json`."""
    groups: Plain
    """The fairness stage's `groups.json`, without groups that are too small."""
    ingest: Plain
    """The ingest stage's `report.json`."""
    leakage: Plain | None
    """The leakage stage's `leakage.json`."""
    lineage: tuple[Plain, ...]
    """Stage by stage: `stage`, `kind`, `sha256`, `started_utc`, `code`, `packages`, `parents`, `config`."""
    card: str
    """The release's model card, in Markdown; empty where it has none."""
    kind: str
    """Name of the kind of data: the template that shows its metrics."""
    title: str
    """What raw files of this kind hold."""
    unit: str
    """What the model's answers are measured in."""
    headline: str
    """The metric that decides between releases."""

    def to_json(self) -> dict[str, Any]:
        """Return the contents of `summary.json`; its fields are described in docs/reference/run-summary.md."""
        return {
            **self.summary,
            "format": FORMAT,
            "details": {
                "evaluation": self.metrics,
                "groups": self.groups,
                "leakage": self.leakage,
                "ingest": self.ingest,
                "lineage": list(self.lineage),
                "card": self.card,
            },
        }


def read_contents(summary: RunSummary, store: Store) -> Contents:
    """Return what the page on a finished run shows."""
    outcome = summary.outcome

    def read(artifact: Artifact, name: str) -> Any:  # Any: parsed JSON
        return json.loads((store.folder(artifact) / name).read_text(encoding="utf-8"))

    kind = load_application(summary.request.application).kind
    handles = [
        value for field in dataclasses.fields(outcome) if isinstance(value := getattr(outcome, field.name), Artifact)
    ]
    card = store.folder(outcome.release) / "card.md"
    return Contents(
        summary=summary.to_json(),
        metrics=with_skills_as_parts(summary.scores),
        groups=without_small_groups(read(outcome.fairness, "groups.json")),
        ingest=read(outcome.logs, "report.json"),
        leakage=read(outcome.leakage, "leakage.json"),
        lineage=tuple(_made(handle) for handle in handles),
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
        kind=kind.name,
        title=kind.title,
        unit=kind.unit,
        headline=kind.headline,
    )


def with_skills_as_parts(metrics: Plain) -> Plain:
    """Return `metrics.json` with each skill's measures in the form that prompts have: metrics and intervals."""
    skills = [
        skill
        if "measures" not in skill
        else {
            "skill": skill["skill"],
            "status": "ok",
            "counts": {"scored": skill["scored"], "students": skill["students"]},
            "metrics": {name: one.get("value") for name, one in skill["measures"].items()},
            "intervals": {
                name: [one["low"], one["high"]] if "low" in one else None for name, one in skill["measures"].items()
            },
        }
        for skill in metrics.get("skills", [])
    ]
    return {**metrics, "skills": skills} if skills else dict(metrics)


def without_small_groups(groups: Plain) -> Plain:
    """Return `groups.json` without the groups whose status is not `ok` and without pairs and gaps that name them."""
    attributes = {}
    for name, found in groups.get("attributes", {}).items():
        shown = [group for group in found.get("groups", []) if group.get("status", "ok") == "ok"]
        names = {group["group"] for group in shown}
        kept = {**found, "groups": shown}
        if "pairs" in found:
            kept["pairs"] = [pair for pair in found["pairs"] if {pair["first"], pair["second"]} <= names]
        kept["gaps"] = {
            measure: gap
            for measure, gap in found.get("gaps", {}).items()
            if {gap.get("higher"), gap.get("lower")} <= names | {None}
        }
        attributes[name] = kept
    return {**groups, "attributes": attributes}


def _made(handle: Artifact) -> dict[str, Any]:
    lineage = handle.lineage
    return {
        "stage": lineage.stage,
        "kind": handle.kind,
        "sha256": handle.sha256,
        "started_utc": lineage.started_utc,
        "code": lineage.code,
        "packages": dict(lineage.packages),
        "parents": list(lineage.parents),
        "config": dict(lineage.config),
    }
