"""What the gate finds out about a release before it is compared with the champion: its reports, and whose they are."""

import json
from typing import Any

from components.artifacts import Artifact
from components.errors import PipelineError
from components.gate.decision import Finding, findings_of
from components.gate.useless import Severity, own_findings
from components.store import Store
from flows.pipeline import Outcome

REPORTS = {"evaluate": "metrics.json", "fairness": "groups.json", "leakage": "leakage.json"}
"""Stage -> the file of its artifact that has findings."""


def reports_of(outcome: Outcome) -> dict[str, Artifact]:
    """Return the artifacts of a run that have findings, by stage."""
    return {"leakage": outcome.leakage, "evaluate": outcome.evaluation, "fairness": outcome.fairness}


def findings_on(store: Store, outcome: Outcome, useless: Severity = "stop") -> tuple[Finding, ...]:
    """Return the findings of all reports of a run and whether they are this release's. Never raises: fails closed.

    `useless` says what follows where the model is of no use at all.
    """
    found: list[Finding] = []
    for stage, artifact in reports_of(outcome).items():
        try:
            report = json.loads((store.folder(artifact) / REPORTS[stage]).read_text(encoding="utf-8"))
            own = findings_of(report)
            if not own:
                found.append(error_finding(stage, "its report has no findings, so nothing was judged"))
            told = {f.reason for f in found}
            found += own_findings(report, own, stage, useless, told)
        except Exception as error:  # whatever is wrong with a report, it is no pass
            found.append(error_finding(stage, f"its report cannot be judged ({_told(error)})"))
    try:
        found += freshness_of(store, outcome)
    except Exception as error:  # as above
        found.append(error_finding("deploy", f"whose its reports are cannot be told ({_told(error)})"))
    return tuple(found)


def freshness_of(store: Store, outcome: Outcome) -> list[Finding]:
    """Return whether the reports belong to the release's own model and data, and the release to the reports."""
    bundled = json.loads((store.folder(outcome.release) / "lineage.json").read_text(encoding="utf-8"))
    data, model = outcome.dataset, outcome.checkpoint
    made_from: dict[str, tuple[Artifact, tuple[Artifact, ...]]] = {
        "leakage": (outcome.leakage, (outcome.logs, data)),
        "evaluate": (outcome.evaluation, (data, model)),
        "fairness": (outcome.fairness, (outcome.logs, outcome.evaluation)),
        "export": (outcome.onnx, (data, model)),
    }
    found = []
    for stage, (artifact, parents) in made_from.items():
        strangers = [p.kind for p in parents if p.sha256 not in artifact.lineage.parents]
        if strangers:
            found.append(_stale(stage, f"was not made from this run's {' and '.join(strangers)}"))
    for artifact in (data, outcome.onnx, outcome.evaluation, outcome.fairness, outcome.leakage):
        if bundled.get(artifact.kind) != artifact.sha256:
            found.append(_stale("deploy", f"was not made from this run's {artifact.kind}"))
    if not found:
        reason = "the reports are of this release's own model and data"
        found = [Finding(check="freshness", subject="all", measure="", outcome="pass", reason=reason)]
    return found


def error_finding(stage: str, reason: str) -> Finding:
    """Return the finding that something could not be judged."""
    return Finding(check="error", subject=stage, measure="", outcome="stop", reason=f"{stage}: {reason}")


def _stale(stage: str, reason: str) -> Finding:
    return Finding(
        check="freshness", subject=stage, measure="", outcome="stop", reason=f"{stage} is stale: it {reason}"
    )


def _told(error: Any) -> str:  # Any: an exception of any kind
    """Return what may be said of an error: the message of our own, which names no student, else only its kind."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, PipelineError) else kind
