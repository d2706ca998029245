"""Requests as a tutoring system would have sent them, from logs: the steps before an answer, and its item."""

import sys
from pathlib import Path
from typing import Any

import polars as pl

from components.app import GroupCodec
from components.mitigation.attributes import values_of
from components.schema import INTERACTIONS, PREDICTIONS, SKILL_SETS, STUDENTS


def held_out_requests(
    logs: Path, evaluation: Path, codec: Any, count: int, seed: int
) -> list[tuple[str, Any]]:  # Any: the application's Codec and its Request
    """Return (student, request) for at most `count` answers that the evaluation scored, drawn without replacement.

    Every held-out answer is as likely: who answered more is asked more often, as in a service. A history is cut to one
    step more than the codec reads. Where the release maps answers by group, the request gives the student's own.

    Args:
        logs: folder that ingest published.
        evaluation: folder that evaluate published.
        codec: its module holds `Request`, `Step` and `Candidate`.
        count: at most so many.
        seed: of the draw.

    Raises:
        ConfigError: the release maps answers by a group attribute that the logs do not have.
    """
    module = sys.modules[type(codec).__module__]
    scored = pl.read_parquet(evaluation / PREDICTIONS).filter("scored").select("student", "position")
    drawn = scored.sample(min(count, scored.height), seed=seed).sort("student", "position")
    sets = pl.read_parquet(logs / SKILL_SETS)
    steps = (
        pl.scan_parquet(logs / INTERACTIONS)
        .join(drawn.select("student").unique().lazy(), on="student", how="semi")
        .join(sets.lazy(), on="skill_set", how="left")
        .select(
            "student", "position", "item", "skills", correct=pl.coalesce(pl.col("correct").cast(pl.Float64), "score")
        )
        .sort("student", "position")
        .collect()
    )
    make: Any = module.Request
    groups: dict[str, dict[str, str | None]] = {}
    if isinstance(codec, GroupCodec) and codec.groups:
        names = drawn["student"].unique(maintain_order=True)
        asked = f"This release maps answers by {codec.group_by!r}"
        values = values_of(pl.read_parquet(logs / STUDENTS), names, codec.group_by, asked)
        make = codec.request_class
        groups = {name: {"group": value} for name, value in zip(names.to_list(), values, strict=True)}
    found = []
    for (student,), wanted in drawn.group_by(["student"], maintain_order=True):
        own = steps.filter(pl.col("student") == student)
        rows = [
            (item, tuple(skills or ()), correct)
            for item, skills, correct in own.select("item", "skills", "correct").rows()
        ]
        places = {position: place for place, position in enumerate(own["position"].to_list())}
        for position in wanted["position"].to_list():
            at = places[position]
            past = rows[max(0, at - codec.max_len_steps) : at]
            request = make(
                candidates=(module.Candidate(item=rows[at][0], skills=rows[at][1]),),
                history=tuple(module.Step(correct=float(c), item=item, skills=skills) for item, skills, c in past),
                **groups.get(str(student), {}),
            )
            found.append((str(student), request))
    return found
