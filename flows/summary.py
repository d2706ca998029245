"""What a run is asked for afterwards, and its machine-readable form."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from components.app import load_application
from components.artifacts import Artifact
from components.chain import Chain
from components.gate.decision import Decision
from components.stage import StageEvent
from flows.mitigation import comparisons_of
from flows.pipeline import Outcome
from flows.request import RunRequest
from flows.views.metrics import by_name


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
    groups: Mapping[str, Any] = field(default_factory=dict)
    """The fairness stage's `groups.json`."""

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain JSON values: what `homeroom run --json` prints."""
        outcome = self.outcome
        handles: dict[str, Artifact] = {
            "collect": outcome.raw,
            "ingest": outcome.logs,
            "preprocess": outcome.dataset,
            "leakage": outcome.leakage,
            "train": outcome.checkpoint,
            "evaluate": outcome.evaluation,
            "fairness": outcome.fairness,
            "export": outcome.onnx,
            "deploy": outcome.release,
        }
        chain = load_application(self.request.application).kind
        comparisons = comparisons_of(self.scores, self.groups)
        return {
            "run": self.run,
            "request": self.request.to_json(),
            "store": self.store,
            "seconds": round(self.seconds, 3),
            "stages": [
                {
                    "stage": e.stage,
                    "status": e.status,
                    "reason": e.reason,
                    "seconds": round(e.seconds, 3),
                    "made_s": None if e.made_s is None else round(e.made_s, 3),
                    "made_cpu_s": None if e.made_cpu_s is None else round(e.made_cpu_s, 3),
                }
                for e in self.stages
            ],
            "artifacts": {name: {"kind": a.kind, "sha256": a.sha256, "uri": a.ref.uri} for name, a in handles.items()},
            "data": outcome.logs.facts(),
            "metrics": by_name(outcome.evaluation.metrics, outcome.evaluation.intervals, chain.headline),
            "confidence": self.scores["bootstrap"]["confidence"],
            **view_of(chain).figures(self.scores),
            "leakage": {"verdict": outcome.leakage.verdict, "reasons": list(outcome.leakage.reasons)},
            "fairness": {"verdict": outcome.fairness.verdict, "reasons": list(outcome.fairness.reasons)},
            "parity": {"max_abs_error": outcome.onnx.max_abs_error, "int8": outcome.onnx.int8_max_abs_error},
            "release": {
                "version": outcome.release.version,
                "promoted": self.decision.promote,
                "status": self.decision.status,
                "reason": self.decision.reason,
            },
            "gate": self.decision.gate_json(),
            **({"comparisons": comparisons} if comparisons else {}),
            "report": self.report,
        }


class View(Protocol):
    """A module of `flows/views`: how the figures of one kind of data are shown."""

    def figures(self, scores: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the summary says of `metrics.json` beside the metrics."""

    def lines(self, summary: Mapping[str, Any]) -> Iterable[str]:
        """Return the lines that the command line shows of a summary's data and figures."""


def view_of(chain: Chain) -> View:
    """Return how the figures of a kind of data are shown."""
    return cast(View, importlib.import_module(f"flows.views.{chain.name}"))
