"""A new release beside the champion: both answer the held-out students as the service would, and are compared in pairs.

Imported late: most runs have nothing to compare.
"""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from components.app import Application
from components.artifacts import Release
from components.chain import HeldOut
from components.gate.decision import Finding
from components.gate.paired import Counts, Metric, PairedSettings, Scored, compare, judge_difference
from components.schema import STUDENTS
from components.signing import Key
from components.store import Store
from flows.pipeline import Outcome
from serving.bundle import Bundle, load_bundle

GROUPS = "groups.json"
UNKNOWN = "unknown"
"""Group of the students whose attribute is not known; see `components/fairness/groups.py`."""


def bundle_of(store: Store, release: Release, signing_key: Key) -> Bundle:
    """Return a release of the store as the service would load it; errors as in `load_bundle` and `Store.folder`."""
    return load_bundle(store.folder(release), signing_key)


def findings_beside(
    store: Store,
    application: Application,
    outcome: Outcome,
    champion: Bundle,
    *,
    signing_key: Key,
    config: Any,  # the application's configuration of a release
) -> list[Finding]:
    """Return the findings on the difference to the champion: overall, and in the worst group where there are groups."""
    kind = application.kind
    held_out = HeldOut(logs=store.folder(outcome.logs), evaluation=store.folder(outcome.evaluation))
    answer = kind.part(kind.comparison)
    answers = [
        answer(application, held_out, bundle.codec, bundle.session.run)
        for bundle in (bundle_of(store, outcome.release, signing_key), champion)
    ]
    names, student = np.unique(answers[0]["student"].to_numpy(), return_inverse=True)
    shown = shown_groups(json.loads((store.folder(outcome.fairness) / GROUPS).read_text("utf-8")), kind.headline)
    groups = groups_of(pl.read_parquet(held_out.logs / STUDENTS), names.tolist(), shown)
    settings = settings_of(config, kind.headline)
    headline_of = kind.part(kind.headline_of)

    def scored(table: pl.DataFrame) -> Scored:
        by_group = [_shown_only(headline_of(table, student, own[student], n + 1), n) for own, n in groups]
        return Scored(overall=headline_of(table, student, None, 1), by_group=_beside(by_group) if by_group else None)

    students = len(names)
    overall, worst = compare(scored(answers[0]), scored(answers[1]), students, settings)
    found = [
        judge_difference(
            overall, settings, measure=kind.headline, subject="all", margin=settings.margin, students=students
        )
    ]
    if worst is not None and settings.worst_group_margin > 0:
        margin = settings.worst_group_margin
        found.append(
            judge_difference(
                worst, settings, measure=kind.headline, subject="worst group", margin=margin, students=students
            )
        )
    return found


def settings_of(config: Any, headline: str) -> PairedSettings:  # Any: as above
    """Return how releases are compared, from the application's configuration of a release."""
    return PairedSettings(
        margin=getattr(config, f"max_{headline}_drop"),
        worst_group_margin=getattr(config, f"max_worst_group_{headline}_drop", 0.0),
        resamples=config.compare_resamples,
        confidence=config.compare_confidence,
        seed=config.compare_seed,
        undecided=config.undecided,
    )


def shown_groups(report: Any, measure: str) -> dict[str, list[str]]:  # Any: parsed JSON
    """Return attribute -> the groups whose estimate of `measure` the report on groups shows; two at least."""
    found = {
        attribute: [g["group"] for g in its["groups"] if g["measures"].get(measure, {}).get("status") == "ok"]
        for attribute, its in report["attributes"].items()
    }
    return {attribute: names for attribute, names in found.items() if len(names) > 1}


def groups_of(
    students: pl.DataFrame, names: list[str], shown: dict[str, list[str]]
) -> list[tuple[npt.NDArray[np.int64], int]]:
    """Return, per attribute, each student's index among its shown groups, and how many these are.

    A student of no shown group has the index that follows. Attributes that are no column, such as intersections of
    two, are left out.

    Args:
        students: `students.parquet` of the logs.
        names: (S,) the students.
        shown: from `shown_groups`.
    """
    attributes = [attribute for attribute in shown if attribute in students.columns]
    table = pl.DataFrame({"student": names}).join(
        students.select(pl.col("student").cast(pl.String), *attributes), on="student", how="left", maintain_order="left"
    )
    found = []
    for attribute in attributes:
        place = {name: at for at, name in enumerate(shown[attribute])}
        values = table[attribute].cast(pl.String).fill_null(UNKNOWN).to_list()
        found.append((np.array([place.get(v, len(place)) for v in values], np.int64), len(place)))
    return found


def _shown_only(metric: Metric, groups: int) -> Metric:
    return lambda counts: metric(counts)[:groups]


def _beside(metrics: list[Metric]) -> Metric:
    def all_of(counts: Counts) -> npt.NDArray[np.float64]:
        return np.concatenate([metric(counts) for metric in metrics])

    return all_of
