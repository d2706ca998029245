"""The chain from raw logs to a release, top to bottom; the same for every application and every way of running it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from components.artifacts import (
    Artifact,
    Checkpoint,
    Evaluation,
    FairnessReport,
    OnnxModel,
    RawFiles,
    Release,
    SequenceDataset,
    StudentLogs,
)
from components.deploy.stage import deploy
from components.evaluate.stage import evaluate
from components.export.stage import export
from components.fairness.stage import fairness
from components.ingest.stage import ingest
from components.preprocess.stage import preprocess
from components.stage import spec_of
from components.train.stage import train

A = TypeVar("A", bound=Artifact)

STAGES = ("ingest", "preprocess", "train", "evaluate", "fairness", "export", "deploy")


class Call(Protocol):
    """Runs a stage: a `components.stage.Runner`, or something that wraps one."""

    def __call__(self, function: Callable[..., A], /, *args: Any) -> A:  # Any: handles and configurations of any kind
        """Return the stage's artifact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The artifacts of a whole run."""

    raw: RawFiles
    logs: StudentLogs
    dataset: SequenceDataset
    checkpoint: Checkpoint
    evaluation: Evaluation
    fairness: FairnessReport
    onnx: OnnxModel
    release: Release


def run_pipeline(run: Call, raw: RawFiles, config: Any) -> Outcome:  # Any: the application's configuration class
    """Take raw files to a release."""
    logs = run(ingest, raw, config.ingest)
    dataset = run(preprocess, logs, config.preprocess)
    checkpoint = run(train, dataset, config.train)
    evaluation = run(evaluate, dataset, checkpoint, config.evaluate)
    groups = run(fairness, logs, evaluation, config.fairness)
    onnx = run(export, dataset, checkpoint, config.export)
    release = run(deploy, onnx, dataset, evaluation, groups, config.deploy)
    return Outcome(
        raw=raw,
        logs=logs,
        dataset=dataset,
        checkpoint=checkpoint,
        evaluation=evaluation,
        fairness=groups,
        onnx=onnx,
        release=release,
    )


class StageReachedError(Exception):
    """Carries the artifact of the stage that a shortened run was to end with."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact.kind)
        self.artifact = artifact


def run_until(run: Call, stage_name: str, raw: RawFiles, config: Any) -> Artifact:
    """Run the chain up to and including one stage and return its artifact."""

    def stopping(function: Callable[..., A], /, *args: Any) -> A:
        artifact = run(function, *args)
        if spec_of(function).name == stage_name:
            raise StageReachedError(artifact)
        return artifact

    try:
        return run_pipeline(stopping, raw, config).release
    except StageReachedError as reached:
        return reached.artifact
