"""What the gate finds out about a release before it is compared with the champion: its reports, and whose they are."""

import json
from typing import Any

from components.artifacts import Artifact, Release
from components.errors import PipelineError
from components.gate.decision import Decision, Finding, findings_of
from components.gate.useless import Severity, own_findings
from components.store import Store
from flows.pipeline import Outcome

REPORTS = {"evaluate": "metrics.json", "fairness": "groups.json", "leakage": "leakage.json"}
"""Stage -> the file of its artifact that has findings."""
FAIL = "fail"
"""The verdict on groups that stopped a release of homeroom before there were findings."""
BUNDLED = ("metrics.json", "fairness.json", "leakage.json")
"""The files of a release that have findings."""
ALWAYS_BUNDLED = ("metrics.json", "fairness.json")
"""Those of them that every release has: where one has findings, so has the other."""
MOST_APPROVALS = 2
"""How many people must approve where the release's record of it is no number."""


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


def judged_by_itself(store: Store, release: Release) -> Decision:
    """Return a decision on a release that no run decided on, from the findings that it carries.

    A release of a homeroom without findings has its verdict on groups. People must approve it where the configuration
    says so that it was made with.
    """
    folder = store.folder(release)
    reports = {name: json.loads((folder / name).read_text("utf-8")) for name in BUNDLED if (folder / name).is_file()}
    # a release of before there was the setting has a warning
    useless: Severity = "stop" if release.lineage.config.get("useless") == "stop" else "warn"
    found: list[Finding] = []
    if any("findings" in report for report in reports.values()):
        for name in ALWAYS_BUNDLED:
            if "findings" not in reports.get(name, {}):
                found.append(error_finding(name, "it is missing or has no list of findings, unlike the other reports"))
    for name, report in reports.items():
        own = findings_of(report) if "findings" in report else ()
        if "findings" in report and not own:
            found.append(error_finding(name, "it has no findings, so nothing was judged"))
        found += own_findings(report, own, name, useless, {f.reason for f in found})
    if not found:
        found.append(
            Finding(
                check="groups",
                subject="all",
                measure="",
                outcome="stop" if release.verdict == FAIL else "warn",
                reason=f"it was made before there were findings; its verdict on groups is {release.verdict}",
            )
        )
    beside = "no run decided on it, so that it was not compared with what serves"
    found.append(Finding(check="non_inferiority", subject="all", measure="", outcome="warn", reason=beside))
    needs = release.lineage.config.get("approvals", 0)  # a release of before there was the setting needs none
    return Decision(
        application=release.application,
        version=release.version,
        promote=False,
        reason=beside,
        findings=tuple(found),
        needs=needs if isinstance(needs, int) else MOST_APPROVALS,
    )


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
