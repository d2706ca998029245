"""What a run is asked for afterwards, and its machine-readable form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.artifacts import Artifact
from components.stage import StageEvent
from flows.pipeline import Outcome
from flows.request import RunRequest
from serving.release import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Everything that a run is asked for afterwards."""

    run: str
    request: RunRequest
    store: str
    outcome: Outcome
    decision: Decision
    stages: tuple[StageEvent, ...]
    seconds: float
    report: str
    scores: Mapping[str, Any]
    """The evaluation's `metrics.json`."""

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain JSON values: what `homeroom run --json` prints."""
        outcome = self.outcome
        handles: dict[str, Artifact] = {
            "collect": outcome.raw,
            "ingest": outcome.logs,
            "preprocess": outcome.dataset,
            "train": outcome.checkpoint,
            "evaluate": outcome.evaluation,
            "fairness": outcome.fairness,
            "export": outcome.onnx,
            "deploy": outcome.release,
        }
        intervals = outcome.evaluation.intervals
        return {
            "run": self.run,
            "request": self.request.to_json(),
            "store": self.store,
            "seconds": round(self.seconds, 3),
            "stages": [
                {"stage": e.stage, "status": e.status, "reason": e.reason, "seconds": round(e.seconds, 3)}
                for e in self.stages
            ],
            "artifacts": {name: {"kind": a.kind, "sha256": a.sha256, "uri": a.ref.uri} for name, a in handles.items()},
            "data": {
                "rows": outcome.logs.rows,
                "students": outcome.logs.students,
                "items": outcome.logs.items,
                "skills": outcome.logs.skills,
                "quarantined": outcome.logs.quarantined,
                "layout": outcome.logs.layout,
                "protocol": outcome.logs.protocol,
            },
            "metrics": {
                name: {"value": value, "interval": list(intervals[name]) if name in intervals else None}
                for name, value in sorted(outcome.evaluation.metrics.items(), key=_auc_first)
            },
            "confidence": self.scores["bootstrap"]["confidence"],
            "baselines": _baselines(self.scores),
            "repeats": self.scores["repeats"],
            "without_repeats": _without_repeats(self.scores),
            "warnings": self.scores["warnings"],
            "fairness": {"verdict": outcome.fairness.verdict, "reasons": list(outcome.fairness.reasons)},
            "parity": {"max_abs_error": outcome.onnx.max_abs_error, "int8": outcome.onnx.int8_max_abs_error},
            "release": {
                "version": outcome.release.version,
                "promoted": self.decision.promote,
                "reason": self.decision.reason,
            },
            "report": self.report,
        }


def _auc_first(figure: tuple[str, float]) -> tuple[bool, str]:
    return figure[0] != "auc", figure[0]


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
        "metrics": {
            name: {"value": value, "interval": rows["intervals"][name]}
            for name, value in sorted(rows["metrics"].items(), key=_auc_first)
        },
        "baselines": _baselines(rows),
    }
