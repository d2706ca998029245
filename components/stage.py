"""Runs stages: makes a stage's key, skips it when a finished and verified result is there, and explains changes.

A stage is a plain function `(work, *handles, config) -> handle` marked with `@stage`. Its key is made of the stage's
name, the digests of its inputs and configuration, the digests of the code it imports, the versions of the libraries
that compute, and, where it makes pseudonyms, the id of the key. Never of a place, a time or a run.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from inspect import signature
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

from components.app import Application
from components.artifacts import Artifact, JsonValue, Lineage, artifact_from_json, canonical_json, digest_of
from components.changes import differences, shortened
from components.code import CodeReader, package_modules
from components.config import as_plain
from components.errors import PipelineError, StoreError
from components.secrets import SecretKey
from components.signing import SigningKey
from components.store import Store
from components.work import PENDING, StageSpec, Work, job_name, spec_of, stage

P = ParamSpec("P")
A = TypeVar("A", bound=Artifact)
V = TypeVar("V")
NO_RESULT = "no result for this key"
_Cost = tuple[float | None, float | None]
"""Seconds on the wall and of the processors; None where nobody recorded them."""
NO_COST: _Cost = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEvent:
    """One thing that happened to a stage, for displays and summaries."""

    stage: str
    status: Literal["started", "finished", "skipped", "would_run"]
    reason: str
    key: str
    seconds: float = 0.0
    artifact: str = ""
    """Identity of the result, where there is one."""
    made_s: float | None = None
    """Seconds on the wall that the result took when it was made, now or earlier; None where nobody recorded it."""
    made_cpu_s: float | None = None
    """The same of the processors: this process and the child processes that ended meanwhile."""


class Runner:
    """Calls stages: `logs = run(ingest, raw, config.ingest)`.

    Args:
        store: where artifacts and records live.
        application: given to stages that use one.
        pseudonym_key: given to stages that make pseudonyms.
        signing_key: given to the stage that signs releases.
        refresh: names of stages to run even where a result is there.
        dry: run nothing; a stage without a result raises `WouldRun`.
        observe: called with every StageEvent.
        say: shows one line of progress.
    """

    def __init__(
        self,
        store: Store,
        application: Application | None = None,
        *,
        pseudonym_key: SecretKey | None = None,
        signing_key: SigningKey | None = None,
        refresh: Iterable[str] = (),
        dry: bool = False,
        observe: Callable[[StageEvent], None] = lambda event: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.store = store
        self.application = application
        self._pseudonym_key = pseudonym_key
        self._signing_key = signing_key
        self._refresh = frozenset(refresh)
        self._dry = dry
        self._code = CodeReader()  # one run sees one state of the code
        self._observe = observe
        self._say = say

    def __call__(self, function: Callable[Concatenate[Work, P], A], /, *args: P.args, **kwargs: P.kwargs) -> A:
        """Return the stage's result, from the store when it is there and whole, else by running the stage.

        Raises:
            TypeError: `function` is no stage, or an argument is neither an artifact nor a configuration.
            WouldRun: in a dry run, when the stage would have to run.
        """
        spec = spec_of(function)
        # In the order of the signature: a key must not depend on how the arguments were written down.
        bound = signature(function).bind(None, *args, **kwargs)
        bound.apply_defaults()
        # None is an input that may be left out, and was
        given = [value for value in [*bound.arguments.values()][1:] if value is not None]
        inputs, configs = _sorted_arguments(spec.name, given)
        parts = self.key_parts(function, inputs, configs)
        key = digest_of(parts)
        record = f"{self._record_folder(spec)}/{key}.json"
        hit, reason, cost = self._lookup(record, spec)
        if hit is not None:
            self._observe(_skipped(spec, reason, key, hit, cost))
            return cast(A, hit)
        lacking = reason == NO_RESULT
        changes = self.explain(function, *inputs, *configs) if lacking else []
        if lacking:
            reason = shortened(changes)
        if self._dry:
            self._observe(StageEvent(stage=spec.name, status="would_run", reason=reason, key=key))
            raise WouldRun(spec.name, changes if lacking else [reason])
        with self.store.locked(
            job_name(spec.name, key), lambda: self._say(f"{spec.name}: another run is at it; waiting")
        ):
            made, _, cost = self._lookup(record, spec)  # perhaps by the run that was waited for
            if made is None:
                return self._run(function, spec, parts, key, reason, inputs, args, kwargs)
        reason = "another run just finished it"
        self._observe(_skipped(spec, reason, key, made, cost))
        return cast(A, made)

    def _run(
        self,
        function: Callable[..., A],
        spec: StageSpec,
        parts: Mapping[str, JsonValue],
        key: str,
        reason: str,
        inputs: list[Artifact],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> A:
        """Run the stage, record its result under the key, and return it."""
        self._observe(StageEvent(stage=spec.name, status="started", reason=reason, key=key))
        started, clock, processors = datetime.now(UTC), time.perf_counter(), _cpu_seconds()
        lineage = Lineage(
            parents=tuple(i.sha256 for i in inputs),
            stage=spec.name,
            code=digest_of(parts["code"]),
            config=cast(Mapping[str, JsonValue], parts["config"]),
            packages=cast(Mapping[str, str], parts["libraries"]),
            started_utc=started.isoformat(timespec="seconds"),
        )
        with self.store.scratch() as scratch:
            work = Work(
                store=self.store,
                scratch=scratch,
                lineage=lineage,
                key=key,
                say=self._say,
                _application=self.application if spec.uses_application else None,
                _pseudonym_key=self._pseudonym_key if spec.uses_pseudonym_key else None,
                _signing_key=self._signing_key if spec.uses_signing_key else None,
            )
            result = function(work, *args, **kwargs)
        if not result.sha256:
            raise PipelineError(f"Stage {spec.name!r} returned a draft; return what `work.publish` gives.")
        seconds, cpu_seconds = time.perf_counter() - clock, _cpu_seconds() - processors
        self.store.write_record(
            f"{self._record_folder(spec)}/{key}.json",
            {
                "format": 1,
                "key": key,
                "parts": dict(parts),
                "artifact": result.to_json(),
                "finished_utc": datetime.now(UTC).isoformat(timespec="microseconds"),
                "seconds": round(seconds, 3),
                "cpu_seconds": round(cpu_seconds, 3),
            },
        )
        # Only now: a process killed before the record would otherwise train again.
        self.store.drop_job_folder(job_name(spec.name, key))
        self._observe(
            StageEvent(
                stage=spec.name,
                status="finished",
                reason=reason,
                key=key,
                seconds=seconds,
                artifact=result.sha256,
                made_s=seconds,
                made_cpu_s=cpu_seconds,
            )
        )
        # As a later run reads it: the next stage must be given the same, order of keys included, kill or no kill.
        return cast(A, artifact_from_json(json.loads(canonical_json(result.to_json()))))

    def key_parts(
        self, function: Callable[..., Any], inputs: Iterable[Artifact], configs: Iterable[object]
    ) -> dict[str, JsonValue]:
        """Return what a stage's key is made of, part by part."""
        spec = spec_of(function)
        modules = [function.__module__, *spec.also]
        config: dict[str, JsonValue] = {}
        for part in configs:
            config.update(as_plain(part))
        parts: dict[str, JsonValue] = {
            "stage": spec.name,
            "inputs": [i.sha256 for i in inputs],
            "config": config,
            "libraries": {name: _version(name) for name in ("python", *spec.libraries)},
        }
        if spec.uses_application:
            if self.application is None:
                raise TypeError(f"Stage {spec.name!r} needs an application; give one to the Runner.")
            parts["application"] = self.application.name
            modules += [*package_modules(self.application.package), *self.application.part_modules()]
            modules.append(self.application.codec_module)
        if spec.uses_pseudonym_key:
            parts["pseudonym_key"] = _key_id(self._pseudonym_key, spec.name)
        if spec.uses_signing_key:
            parts["signing_key"] = _key_id(self._signing_key, spec.name)
        parts["code"] = cast(JsonValue, self._code.digests(modules))
        return parts

    def explain(self, function: Callable[..., Any], *args: Any) -> list[str]:
        """Return, one sentence each, which parts of the key differ from the stage's latest record."""
        inputs, configs = _sorted_arguments(spec_of(function).name, args)
        now = self.key_parts(function, inputs, configs)
        before = self._latest(spec_of(function))
        if before is None:
            return ["it never finished in this store"]
        return differences(before, now) or ["nothing: the result is there"]

    def _record_folder(self, spec: StageSpec) -> str:
        name = self.application.name if self.application is not None else "any"
        return f"stages/{name}/{spec.name}"

    def _lookup(self, path: str, spec: StageSpec) -> tuple[Artifact | None, str, _Cost]:
        """Return the result, if it is there and whole; why, or why not; and what it took to make."""
        if spec.name in self._refresh:
            return None, "asked for with --refresh", NO_COST
        record = self.store.read_record(path)
        if record is None:
            return None, NO_RESULT, NO_COST
        try:
            artifact = artifact_from_json(record["artifact"])
            (self.store.verify if self._dry else self.store.use)(artifact)
        except (StoreError, KeyError, TypeError, ValueError) as error:
            return None, f"its result is not usable: {error}", NO_COST
        reason = "same inputs, configuration, code and libraries; the result is there and its digests are right"
        return artifact, reason, (record.get("seconds"), record.get("cpu_seconds"))

    def _latest(self, spec: StageSpec) -> dict[str, Any] | None:
        records = [self.store.read_record(p) for p in self.store.list_records(self._record_folder(spec))]
        whole = [r for r in records if isinstance(r, dict) and "parts" in r and "finished_utc" in r]
        return max(whole, key=lambda r: str(r["finished_utc"]))["parts"] if whole else None


class WouldRun(Exception):  # a signal of the dry run, no error
    """A dry run came to a stage that has no result yet."""

    def __init__(self, stage_name: str, changes: list[str]) -> None:
        super().__init__(f"{stage_name} would run: {shortened(changes)}")
        self.stage = stage_name
        self.changes = tuple(changes)


def _sorted_arguments(name: str, values: Iterable[Any]) -> tuple[list[Artifact], list[object]]:
    inputs: list[Artifact] = []
    configs: list[object] = []
    for value in values:
        if isinstance(value, Artifact):
            inputs.append(value)
        elif is_dataclass(value) and not isinstance(value, type):
            configs.append(value)
        else:
            raise TypeError(
                f"Stage {name!r} was given a {type(value).__name__}; a stage takes artifact handles and one frozen "
                "configuration, so that its key says all that it depends on."
            )
    if len(configs) > 1:
        raise TypeError(
            f"Stage {name!r} was given {len(configs)} configurations; a stage takes one, as fields of the same name "
            "would hide each other in the key. Nest them in one configuration."
        )
    return inputs, configs


def _key_id(key: SecretKey | SigningKey | None, name: str) -> str:
    if key is None:
        raise TypeError(f"Stage {name!r} needs a secret key; give it to the Runner.")
    return key.id


def _skipped(spec: StageSpec, reason: str, key: str, artifact: Artifact, cost: _Cost) -> StageEvent:
    return StageEvent(
        stage=spec.name,
        status="skipped",
        reason=reason,
        key=key,
        artifact=artifact.sha256,
        made_s=cost[0],
        made_cpu_s=cost[1],
    )


def _cpu_seconds() -> float:
    """Return processor time of this process and of those of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _version(name: str) -> str:
    if name == "python":
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


__all__ = ["PENDING", "Runner", "StageEvent", "StageSpec", "Work", "WouldRun", "job_name", "spec_of", "stage"]
