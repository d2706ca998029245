"""The report of a run: one HTML page with the data, the metrics, the groups, the parity and the release."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from components.app import load_application
from components.artifacts import Artifact
from components.store import Store
from flows.summary import RunSummary


def write_report(summary: RunSummary, store: Store, folder: Path) -> None:
    """Write `report.html` and `summary.json` into `folder`, which is there with both or not at all."""
    outcome = summary.outcome

    def read(artifact: Artifact, name: str) -> Any:  # Any: parsed JSON
        return json.loads((store.folder(artifact) / name).read_text(encoding="utf-8"))

    pages = Environment(
        loader=PackageLoader("flows", "templates"), autoescape=select_autoescape(), undefined=StrictUndefined
    )
    plain = summary.to_json()
    kind = load_application(summary.request.application).kind
    page = pages.get_template("report.html").render(
        summary=plain,
        summary_template=f"{kind.name}.html",
        unit=kind.unit,
        metrics=summary.scores,
        leakage=read(outcome.leakage, "leakage.json"),
        groups=read(outcome.fairness, "groups.json"),
        ingest=read(outcome.logs, "report.json"),
        config=[(name, artifact.lineage.config) for name, artifact in _handles(summary)],
    )
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    (part / "report.html").write_text(page, encoding="utf-8")
    (part / "summary.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")
    part.rename(folder)


def _handles(summary: RunSummary) -> list[tuple[str, Artifact]]:
    outcome = summary.outcome
    return [
        ("ingest", outcome.logs),
        ("preprocess", outcome.dataset),
        ("leakage", outcome.leakage),
        ("train", outcome.checkpoint),
        ("evaluate", outcome.evaluation),
        ("fairness", outcome.fairness),
        ("export", outcome.onnx),
        ("deploy", outcome.release),
    ]
