"""Artifact handles: small frozen values that travel between stages while the data stay in the store.

`sha256` is an artifact's identity, `uri` only its place. Two artifacts with the same bytes and the same fields are the
same artifact, whoever made them and when. The module needs nothing but the standard library.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self, TypeVar

FORMAT_VERSION = 1
"""Version of the manifest format. Readers accept every version up to this one."""

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


def canonical_json(value: object) -> bytes:
    """Return the one JSON spelling of `value` that digests are taken of: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: object) -> str:
    """Return the SHA-256, in hex, of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """Points at bytes: where they are, what they are, how many."""

    uri: str
    sha256: str
    bytes: int
    media_type: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        return {"uri": self.uri, "sha256": self.sha256, "bytes": self.bytes, "media_type": self.media_type}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value."""
        return cls(uri=value["uri"], sha256=value["sha256"], bytes=int(value["bytes"]), media_type=value["media_type"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """How an artifact came to be. It is kept beside the artifact and is no part of its identity (times differ)."""

    parents: tuple[str, ...] = ()
    """SHA-256 of the input artifacts."""
    stage: str = ""
    code: str = ""
    """Digest of the first-party code that ran."""
    config: Mapping[str, JsonValue] = field(default_factory=dict)
    """The resolved configuration of the stage."""
    packages: Mapping[str, str] = field(default_factory=dict)
    started_utc: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        return {
            "parents": list(self.parents),
            "stage": self.stage,
            "code": self.code,
            "config": dict(self.config),
            "packages": dict(self.packages),
            "started_utc": self.started_utc,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value."""
        return cls(
            parents=tuple(value["parents"]),
            stage=value["stage"],
            code=value["code"],
            config=dict(value["config"]),
            packages=dict(value["packages"]),
            started_utc=value["started_utc"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Base of all handles: a reference to a folder in the store, its lineage, and the kind's own small fields.

    `ref.uri` is the folder, `ref.sha256` the identity (over kind, files and fields), `ref.bytes` the size of all files.
    Subclasses add fields of plain JSON types (str, int, float, bool, None, tuples and string-keyed dicts of these).
    """

    ref: Ref
    lineage: Lineage

    kinds: ClassVar[dict[str, type["Artifact"]]] = {}

    def __init_subclass__(cls) -> None:
        # With slots=True the decorator makes the class anew, and this runs again for the one that stays.
        Artifact.kinds[cls.__name__] = cls

    @property
    def kind(self) -> str:
        """Name of the artifact's type, as in the manifest."""
        return type(self).__name__

    @property
    def sha256(self) -> str:
        """Identity of the artifact, in hex."""
        return self.ref.sha256

    def facts(self) -> dict[str, JsonValue]:
        """Return the kind's own fields as plain JSON values."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in {"ref", "lineage"}}

    def to_json(self) -> dict[str, JsonValue]:
        """Return the whole handle as plain JSON values."""
        return {
            "format": FORMAT_VERSION,
            "kind": self.kind,
            "ref": self.ref.to_json(),
            "lineage": self.lineage.to_json(),
            "facts": self.facts(),
        }


A = TypeVar("A", bound=Artifact)


def artifact_from_json(value: Mapping[str, Any]) -> Artifact:
    """Rebuild a handle from `Artifact.to_json`'s value.

    Raises:
        ValueError: the format is newer than this version of homeroom reads, or the kind is unknown.
    """
    if int(value["format"]) > FORMAT_VERSION:
        raise ValueError(
            f"The artifact has format {value['format']}; this homeroom reads formats up to {FORMAT_VERSION}. "
            "Upgrade homeroom to read it."
        )
    kind = Artifact.kinds.get(value["kind"])
    if kind is None:
        raise ValueError(f"Unknown artifact kind {value['kind']!r}; known are {sorted(Artifact.kinds)}.")
    known = {f.name: f for f in fields(kind)}
    facts = {k: _frozen(v) for k, v in value["facts"].items() if k in known}
    missing = [
        name
        for name, f in known.items()
        if name not in {"ref", "lineage"}
        and name not in facts
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"A {kind.__name__} without {missing}: its manifest is damaged or newer than this homeroom.")
    return kind(ref=Ref.from_json(value["ref"]), lineage=Lineage.from_json(value["lineage"]), **facts)


def _plain(value: Any) -> JsonValue:  # Any: the fields of every kind pass through here
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"An artifact field of type {type(value).__name__}; use str, int, float, bool, tuple or dict.")


def _frozen(value: Any) -> Any:  # Any: the inverse of _plain
    if isinstance(value, list):
        return tuple(_frozen(v) for v in value)
    if isinstance(value, dict):
        return {k: _frozen(v) for k, v in value.items()}
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFiles(Artifact):
    """Files as the user gave them. The bytes stay where they are; identity is over contents, not names or places."""

    uris: tuple[str, ...]
    """Where each file was found, in the order of `digests`. Not part of the identity."""
    digests: tuple[str, ...]
    """SHA-256 of each file's bytes."""
    roles: tuple[str, ...]
    """`any` (split by student), `valid` or `test` (held out whole), or `overrides` (of teachers), per file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOverrides(Artifact):
    """A snapshot of teachers' overrides: `overrides.jsonl` (see `components/overrides.py`), by time, each once."""

    overrides: int
    prompts: int
    teachers: int
    releases: tuple[str, ...]
    """Versions whose scores were overridden."""
    pseudonym_key_ids: tuple[str, ...]
    """Of the keys that made their pseudonyms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLogs(Artifact):
    """Raw logs of simulated students: `answers.parquet` as a source would deliver it, and the known truth apart.

    Files: `answers.parquet`, `truth.json` (parameters), `truth.parquet` (probability of each answer).
    """

    rows: int
    students: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedWriting(Artifact):
    """Raw scored writing of simulated students: `responses.parquet` as a source would deliver it, and the truth apart.

    Files: `responses.parquet`, `truth.json` (parameters, and the prompts' rubrics), `truth.parquet` (quality of each
    response).
    """

    rows: int
    students: int
    prompts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentLogs(Artifact):
    """Interactions in the one schema, students' group attributes, and what was quarantined.

    Files: `interactions.parquet`, `skill_sets.parquet`, `students.parquet`, `quarantine.parquet`, `report.json` (see
    `components/schema.py`).
    """

    rows: int
    students: int
    items: int
    skills: int
    quarantined: int
    layout: str
    protocol: str
    """`problem` (a row per answered problem with its set of skills), `row_per_skill`, or `row_as_given` where the
    source has no problem ids, so that rows of one problem cannot be told."""
    pseudonym_key_id: str
    groups: tuple[str, ...] = ()
    """Names of the group attributes in `students.parquet`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredWriting(Artifact):
    """Responses to prompts with their scores in the one schema, students' group attributes, and what was quarantined.

    Files: `responses.parquet`, `prompts.json`, `students.parquet`, `quarantine.parquet`, `report.json` (see
    `components/writing/schema.py`).
    """

    rows: int
    students: int
    prompts: int
    raters: int
    """Most raters of any response; 0 where the source names none."""
    traits: tuple[str, ...]
    """Names of the traits; `responses.parquet` has a column `trait_<name>` of each."""
    quarantined: int
    layout: str
    protocol: str
    """`scored_writing`: a row per response."""
    pseudonym_key_id: str
    groups: tuple[str, ...] = ()
    """Names of the group attributes in `students.parquet`."""
    overrides: int = 0
    """Responses whose score is a teacher's override of a release's."""
    overrides_sha256: str = ""
    """Digest of the file of overrides; empty where none was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceDataset(Artifact):
    """Encoded windows of interactions as flat arrays with offsets, by split, and the codec's vocabulary.

    Files: `codec.json`; per split in train, valid, test: `<split>/<array>.npy` (`scored` among them: which steps count
    in figures), `<split>/starts.npy`, `<split>/lengths.npy`, `<split>/window_student.npy`; `students.parquet` (row ->
    student pseudonym). Where answers are weighed by group: `train/group_weight.npy`, `reweighing.json`. Where they may
    be mapped by group: `<split>/window_group.npy`.
    """

    application: str
    steps: Mapping[str, int]
    """Interactions per split."""
    windows: Mapping[str, int]
    students: Mapping[str, int]
    max_len_steps: int
    arrays: tuple[str, ...]
    """Names of the flat arrays."""
    protocol: str
    split: str = "student"
    """`student` or `time`: what is held out."""
    begins_ms: tuple[int, ...] = ()
    """By time: when validation and testing begin, in the logs' milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDataset(Artifact):
    """Encoded texts as arrays by split, and the codec's vocabulary.

    Files: `codec.json`; `responses.parquet` (response, student, prompt, split, ratings; in the order of the arrays);
    per split in train, valid, test: `<split>/<array>.npy`, among them prompt, features, score, scaled, traits. Where
    responses are weighed by group: `train/group_weight.npy`, `reweighing.json`.
    """

    application: str
    responses: Mapping[str, int]
    """Per split."""
    students: Mapping[str, int]
    prompts: tuple[str, ...]
    traits: tuple[str, ...]
    arrays: tuple[str, ...]
    """Names of the arrays of each split."""
    protocol: str
    overrides: int = 0
    """Responses of all splits whose score is a teacher's override."""
    overrides_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageReport(Artifact):
    """Whether what is held out was seen in training: `leakage.json` (see `components/leakage/findings.py`)."""

    verdict: str
    """`pass`, `warn` or `fail`."""
    reasons: tuple[str, ...] = ()
    """What did not pass, a sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Artifact):
    """A trained model: `model.ckpt` (weights_only-safe), `history.csv`, `training.json`."""

    application: str
    epochs: int
    optimizer_steps: int
    parameters: int
    best_metric: str
    best_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Artifact):
    """Held-out predictions and metrics: `predictions.parquet`, `metrics.json`."""

    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    """Bootstrap interval of each metric, resampled by student, at the confidence in `metrics.json`."""
    scored: int
    students: int
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessReport(Artifact):
    """Metrics by group and the verdict of the gate: `groups.json`."""

    verdict: str
    """`pass`, `warn`, `fail`, `not_estimable` or `no_groups`."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel(Artifact):
    """The exported model: `model.onnx`, `parity.json`; with int8 also `model.int8.onnx`."""

    application: str
    opset: int
    max_abs_error: float
    """Largest difference from torch over all parity checks, in probability."""
    int8_max_abs_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Artifact):
    """All that a service needs, in one folder under one signed `bundle.json`."""

    application: str
    version: str
    """`<application>-<first 12 hex digits of the bundle's digest>`; every served answer carries it."""
    verdict: str
