"""Live quality: what a release's answers were worth, by the truth that came afterwards. Figures only.

Of scored writing the truth is teachers' overrides. Teachers correct what looks wrong to them, so agreement on what they
looked at says nothing of all answers: how many were corrected, and in which direction, is what can be known. Of student
logs it is the next answers, in logs that were collected since: a service keeps nothing by which it could know them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from components.app import Application, GradingCodec
from components.artifacts import JsonValue
from components.errors import ConfigError
from components.evaluate.bootstrap import GroupedAuc, drawn_metrics, interval_of, intervals_of, resampled_students
from components.evaluate.metrics import NAMES, is_right, losses_of
from components.ingest.collect import collect
from components.overrides import FILE, Override, parsed
from components.schema import INTERACTIONS
from components.store import Store
from components.writing.agreement import Pair, pair_values
from flows.operations import make_runner
from flows.releases import find_release, take_release
from flows.scoring import ingest_config
from flows.settings import Settings
from flows.watching.records import WatchRecords
from flows.watching.service import write_quality
from serving.bundle import load_bundle
from serving.registry import PointerLog, ReleaseRegistry

MIN_VALUES = 10
"""With fewer answers no figure is given."""
MIN_CLUSTERS = 5
"""With fewer teachers, or students, no interval."""
RESAMPLES = 500
CONFIDENCE = 0.95

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of one release."""

    release: str
    metric: str
    value: float | None
    """None: too few answers, or the answers do not decide it."""
    low: float | None
    high: float | None
    n: int
    """Answers."""
    clusters: int
    """Teachers, or students."""

    def line(self) -> str:
        """Return it in words."""
        if self.value is None:
            shown = "too few" if self.n < MIN_VALUES else "not estimable"
        elif self.low is None:
            shown = f"{self.value:.3f} (too few to give an interval)"
        else:
            shown = f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"
        return f"{self.release}  {self.metric:<14} {shown}, n = {self.n} of {self.clusters}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveQuality:
    """What became known."""

    source: str
    """`overrides` or `logs`."""
    figures: tuple[Figure, ...]
    caution: str
    unknown: int = 0
    """Overrides of what is no release of this store; they are left out."""

    def lines(self) -> list[str]:
        """Return it for people."""
        left_out = [f"{self.unknown} overrides are of releases that this store does not know; they are left out"]
        return [*(one.line() for one in self.figures), *(left_out if self.unknown else []), self.caution]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        figures = cast("list[JsonValue]", [asdict(one) for one in self.figures])
        return {"source": self.source, "figures": figures, "unknown": self.unknown, "caution": self.caution}


def live_quality(application: Application, settings: Settings, data: Sequence[str], status: Path | None) -> LiveQuality:
    """Return and record live quality; with a status folder the server's metrics show it as well.

    Raises:
        ConfigError: there is nothing to know it by.
        PipelineError: the logs cannot be read.
    """
    store = settings.open_store()
    if data:
        found = of_logs(application, settings, store, data)
    elif application.kind.takes_overrides:
        path = settings.overrides / application.name / FILE
        if not path.is_file():
            raise ConfigError(f"There are no overrides in {path.parent}; expected those that `homeroom serve` stored.")
        known = ReleaseRegistry(store).versions(application.name)
        found = of_overrides(parsed(path.read_bytes()).overrides, rubrics_of(store, settings), known)
    else:
        raise ConfigError(
            f"What came after the answers of {application.name} is in later logs only: name them with --data."
        )
    WatchRecords(store, application.name).add_quality(found.to_json())
    if status is not None and status.is_dir():
        shown: dict[str, dict[str, dict[str, float]]] = {}
        for one in found.figures:
            if one.value is not None:
                shown.setdefault(one.release, {})[one.metric] = {"value": one.value, "n": float(one.n)}
        write_quality(status, next(iter(shown), ""), shown)
    return found


Rubrics = Mapping[str, tuple[float, float]]
"""Prompt -> lowest score and step."""


def rubrics_of(store: Store, settings: Settings) -> Any:  # Any: a function of a version
    """Return a function from a release's version to the rubrics of its prompts; empty where it is no longer there."""

    def of(version: str) -> Rubrics:
        try:
            bundle = load_bundle(store.folder(find_release(store, version)), settings.read_signing_key())
        except Exception:  # an old release may be gone, or signed with another key: its scores are as they are
            return {}
        codec = bundle.codec
        prompts = codec.grading_prompts() if isinstance(codec, GradingCodec) else []
        return {one["prompt"]: (float(one["low"]), float(one["step"])) for one in prompts}

    return of


def of_overrides(
    overrides: Sequence[Override],
    rubrics: Any,  # Any: as `rubrics_of` returns
    known: Collection[str],
) -> LiveQuality:
    """Return agreement of machine and teacher by release; intervals by drawing teachers with all their corrections.

    Args:
        overrides: of one application; of several on one response the latest counts.
        rubrics: a release's version -> its rubrics; kappa and bias are in steps of them.
        known: versions of releases. A client chooses what an override says that it is of: only these become records
            and labels, the others are counted.
    """
    latest: dict[tuple[str, str, str], Override] = {}
    kept = [one for one in overrides if one.release in known]
    for one in sorted(kept, key=lambda one: one.made_utc):
        latest[one.release, one.prompt, one.response or f"{one.student or ''}\n{one.text}"] = one
    figures: list[Figure] = []
    for release in sorted({one.release for one in latest.values()}):
        scales = rubrics(release)
        own = [one for one in latest.values() if one.release == release]
        scored = [one for one in own if one.machine_score is not None]
        if not scored:
            continue
        lows = np.array([scales.get(one.prompt, (0.0, 1.0)) for one in scored])
        human = (np.array([one.score for one in scored]) - lows[:, 0]) / lows[:, 1]
        machine = (np.array([one.machine_score for one in scored], np.float64) - lows[:, 0]) / lows[:, 1]
        _, teacher = np.unique([one.teacher for one in scored], return_inverse=True)
        figures += _agreement(release, human, machine, teacher)
    return LiveQuality(
        source="overrides",
        figures=tuple(figures),
        unknown=len(overrides) - len(kept),
        caution="Teachers choose what they look at: these figures are of what they corrected or confirmed, not of all "
        "answers. bias: teacher less machine, in steps of the rubric.",
    )


def _agreement(release: str, human: Floats, machine: Floats, teacher: npt.NDArray[np.int64]) -> list[Figure]:
    count, teachers = len(human), int(teacher.max()) + 1
    values = np.zeros((teachers, pair_values(human, machine).shape[1]))
    np.add.at(values, teacher, pair_values(human, machine))
    drawn = np.stack([_figures(counts @ values) for counts in resampled_students(teachers, RESAMPLES, 0)])
    whole = _figures(values.sum(axis=0))
    found = []
    for at, metric in enumerate(("exact", "qwk", "bias")):
        enough = count >= MIN_VALUES and bool(np.isfinite(whole[at]))
        ends = interval_of(drawn[:, at], confidence=CONFIDENCE, clusters=teachers)
        shown = enough and teachers >= MIN_CLUSTERS
        found.append(
            Figure(
                release=release,
                metric=metric,
                value=float(whole[at]) if enough else None,
                low=ends.low if shown else None,
                high=ends.high if shown else None,
                n=count,
                clusters=teachers,
            )
        )
    return found


def _figures(sums: Floats) -> Floats:
    pair = Pair(sums)
    return np.array([pair.exact(), pair.qwk(), pair.mean_x - pair.mean_y], np.float64)


def of_logs(application: Application, settings: Settings, store: Store, data: Sequence[str]) -> LiveQuality:
    """Return how the current release would have answered, and so did answer, what students then did.

    Where the logs have times, only answers since the release serves count: earlier ones may have trained it.

    Raises:
        ConfigError: the application's data are no student logs.
    """
    if application.kind.name != "sequences":
        raise ConfigError(
            f"--data is for student logs; what came after the answers of {application.name} are teachers' overrides. "
            "Leave --data out."
        )
    release = take_release(store, application.name)
    bundle = load_bundle(store.folder(release), settings.read_signing_key())
    runner = make_runner(settings, application, store)
    reading = ingest_config(store, release, application, None, ())
    logs = runner(application.kind.stage("ingest"), collect(store, data), reading)
    folder = store.folder(logs)
    answers: pl.DataFrame = application.part(application.scorer)(folder, bundle.codec, bundle.session.run, "all")
    columns = ["student", "position", "correct", "score", "time_ms"]
    truth = pl.read_parquet(folder / INTERACTIONS, columns=columns).with_columns(
        label=pl.coalesce(pl.col("correct").cast(pl.Float64), pl.col("score").cast(pl.Float64))
    )
    both = truth.join(answers.select("student", "position", "probability"), on=["student", "position"], how="inner")
    since = _serves_since(store, release.version, application.name)
    timed = both["time_ms"].null_count() == 0 and since is not None
    if timed and since is not None:
        both = both.filter(pl.col("time_ms") >= since.timestamp() * 1000)
        caution = f"Answers since {since:%Y-%m-%d %H:%M} UTC, when the release was promoted."
    else:
        caution = "The logs have no times: answers that trained the release are among these, and favour it."
    return LiveQuality(source="logs", figures=tuple(_predicted(release.version, both)), caution=caution)


def _serves_since(store: Store, version: str, application: str) -> datetime | None:
    times = [
        state.at
        for state in PointerLog(store, application).entries()
        if state.champion and state.champion.version == version
    ]
    return datetime.fromisoformat(min(times)).astimezone(UTC) if times else None


def _predicted(release: str, both: pl.DataFrame) -> list[Figure]:
    label, probability = both["label"].to_numpy(), both["probability"].to_numpy().astype(np.float64)
    student = both["student"].rank("dense").to_numpy().astype(np.int64) if both.height else np.zeros(0, np.int64)
    students = len(np.unique(student))
    if both.height < MIN_VALUES:
        return [
            Figure(release=release, metric=name, value=None, low=None, high=None, n=both.height, clusters=students)
            for name in NAMES
        ]
    auc = GroupedAuc(is_right(label), probability, np.zeros(both.height, np.int64))(np.ones(1, np.int64))
    point = dict(zip(NAMES, [*auc, *losses_of(label, probability).mean(axis=0)], strict=True))
    drawn = drawn_metrics(label, probability, student, resamples=RESAMPLES, seed=0)
    ends = intervals_of(drawn, confidence=CONFIDENCE, clusters=students)
    shown = students >= MIN_CLUSTERS
    return [
        Figure(
            release=release,
            metric=name,
            value=float(point[name]) if np.isfinite(point[name]) else None,
            low=ends[name].low if shown else None,
            high=ends[name].high if shown else None,
            n=both.height,
            clusters=students,
        )
        for name in NAMES
    ]
