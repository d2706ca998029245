"""The chain from raw files to a release, top to bottom; the same for every application and every way of running it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from components.artifacts import (
    Artifact,
    Checkpoint,
    Evaluation,
    FairnessReport,
    LeakageReport,
    OnnxModel,
    RawFiles,
    Release,
)
from components.chain import STAGES, Chain
from components.errors import ConfigError
from components.stage import spec_of

__all__ = ["STAGES", "Call", "Outcome", "run_pipeline", "run_until"]

A = TypeVar("A", bound=Artifact)


class Call(Protocol):
    """Runs a stage: a `components.stage.Runner`, or something that wraps one."""

    def __call__(self, function: Callable[..., A], /, *args: Any) -> A:  # Any: handles and configurations of any kind
        """Return the stage's artifact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The artifacts of a whole run."""

    raw: RawFiles
    logs: Any  # the kind of data says which artifact
    dataset: Any  # as above
    leakage: LeakageReport
    checkpoint: Checkpoint
    evaluation: Evaluation
    fairness: FairnessReport
    onnx: OnnxModel
    release: Release


def run_pipeline(
    run: Call,
    chain: Chain,
    raw: RawFiles,
    config: Any,  # the application's configuration class
) -> Outcome:
    """Take raw files to a release.

    Raises:
        ConfigError: the configuration class has no section for a stage.
    """
    lacking = [stage for stage in STAGES if not hasattr(config, stage)]
    if lacking:  # an application of one's own that was begun before homeroom had the stage
        raise ConfigError(
            f"{type(config).__name__} has no section {', '.join(lacking)}; expected a field for each stage: "
            f"{', '.join(STAGES)}. Add it to the configuration class in the application's app.py, as the applications "
            "that come with homeroom have it."
        )
    logs = run(chain.stage("ingest"), raw, config.ingest)
    dataset = run(chain.stage("preprocess"), logs, config.preprocess)
    leaks = run(chain.stage("leakage"), logs, dataset, config.leakage)
    checkpoint = run(chain.stage("train"), dataset, config.train)
    evaluation = run(chain.stage("evaluate"), dataset, checkpoint, config.evaluate)
    groups = run(chain.stage("fairness"), logs, evaluation, config.fairness)
    onnx = run(chain.stage("export"), dataset, checkpoint, config.export)
    release = run(chain.stage("deploy"), onnx, dataset, evaluation, groups, config.deploy, leaks, logs)
    return Outcome(
        raw=raw,
        logs=logs,
        dataset=dataset,
        leakage=leaks,
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


def run_until(run: Call, chain: Chain, stage_name: str, raw: RawFiles, config: Any) -> Artifact:  # Any: as above
    """Run the chain up to and including one stage and return its artifact."""

    def stopping(function: Callable[..., A], /, *args: Any) -> A:
        artifact = run(function, *args)
        if spec_of(function).name == stage_name:
            raise StageReachedError(artifact)
        return artifact

    try:
        return run_pipeline(stopping, chain, raw, config).release
    except StageReachedError as reached:
        return reached.artifact
