"""Batch scoring of knowledge tracing: every step of whole logs, as the service would answer it.

The service sees the latest `max_len_steps - 1` steps before a candidate. Steps within the first `max_len_steps` of a
student share one causal pass; every later step needs a window of its own, which ends with it.

Everything that depends on the vocabulary comes from the release's own codec, which may be older than this file.

Shapes: N steps in all, B windows, T steps of a window, K skills per step.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from components.app import GroupCodec
from components.mitigation.attributes import values_of
from components.mitigation.groups import INPUT as GROUP
from components.schema import INTERACTIONS, SKILL_SETS, STUDENTS

BATCH_STEPS = 40_000
"""Padded steps per call of the model: some tens of megabytes."""
CANDIDATES = 100
"""Candidates per request that is only asked for flags; every codec takes as many."""
NEW = frozenset({"new_item", "new_skill"})
"""Flags of a candidate that, as a step of a history, sets `new_in_history`."""

RunModel = Callable[[dict[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]]  # Any: each array has its own dtype


class ReleasedCodec(Protocol):
    """What scoring calls of a release's codec; its module also holds `Request` and `Candidate`."""

    @property
    def max_len_steps(self) -> int:
        """Longest input in steps, the candidate included."""

    def item_indices(self, items: Sequence[str | None]) -> npt.NDArray[np.int64]:
        """Return the index of each item."""

    def skill_rows(self, sets: Sequence[Sequence[str]]) -> npt.NDArray[np.int64]:
        """Return (N, K) indices of each set's skills."""

    def encode(self, request: Any) -> Sequence[Any]:  # Any: the codec's own Request and Row
        """Return one row per candidate, with its `flags`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """Every step of the logs as the model reads it, students one after the other."""

    items_N: npt.NDArray[np.int64]
    sets_N: npt.NDArray[np.int64]
    """Row of `skills` of each step."""
    skills: npt.NDArray[np.int64]
    """(sets, K)."""
    responses_N: npt.NDArray[np.float32]
    group_N: npt.NDArray[np.int64] | None
    """Index of the student's group; None where the release maps no answers by group."""


def score_logs(
    folder: Path,
    codec: ReleasedCodec,
    run_model: RunModel,
    which: Literal["all", "last"] = "all",
    students: pl.Series | None = None,
) -> pl.DataFrame:
    """Return what `score_steps` does of the logs that ingest published in `folder`, or of some students in them.

    Raises:
        ConfigError: the release maps answers by a group attribute that the logs do not have.
    """
    interactions = pl.read_parquet(folder / INTERACTIONS)
    if students is not None:
        wanted = pl.DataFrame({"student": students.unique()})
        interactions = interactions.join(wanted, on="student", how="semi", maintain_order="left")
    groups = None
    if isinstance(codec, GroupCodec) and codec.groups:
        runs, asked = interactions["student"].rle().struct.unnest(), f"This release maps answers by {codec.group_by!r}"
        values = values_of(pl.read_parquet(folder / STUDENTS), runs["value"], codec.group_by, asked)
        groups = np.repeat(codec.group_indices(values), runs["len"].to_numpy())
    return score_steps(interactions, pl.read_parquet(folder / SKILL_SETS), codec, run_model, which, groups)


def score_steps(
    interactions: pl.DataFrame,
    skill_sets: pl.DataFrame,
    codec: ReleasedCodec,
    run_model: RunModel,
    which: Literal["all", "last"],
    group_N: npt.NDArray[np.int64] | None = None,
) -> pl.DataFrame:
    """Return one row per step asked for, in the logs' order.

    Columns: student, position, item, file, row; `probability` of a right answer; `flags` of the step's item and skills
    (such as `new_item;new_skill`, empty where there are none); `history_shortened`, true where older steps were left
    out; `new_in_history`, true where a step that was used had a new item or skill.

    Args:
        interactions: as `components/schema.py` says, a student's rows together and in order.
        skill_sets: likewise, in any order.
        codec: the release's own, from its bundle.
        run_model: padded inputs by name -> outputs by name.
        which: every step, or each student's last.
        group_N: index of each step's student's group, where the release maps answers by group.
    """
    sets = skill_sets.sort("skill_set")
    sets_N = np.searchsorted(sets["skill_set"].to_numpy(), interactions["skill_set"].to_numpy()).astype(np.int64)
    skills = sets["skills"].to_list()
    items, codes_N = _numbered(interactions["item"])
    answered = pl.coalesce(pl.col("correct").cast(pl.Float32), pl.col("score")).alias("response")
    steps = _Steps(
        items_N=codec.item_indices(items)[codes_N],
        sets_N=sets_N,
        skills=codec.skill_rows(skills),
        responses_N=interactions.select(answered)["response"].to_numpy().astype(np.float32),
        group_N=group_N,
    )
    lengths = interactions["student"].rle().struct.field("len").to_numpy().astype(np.int64)
    offsets = np.cumsum(lengths) - lengths
    probability_N = np.full(interactions.height, np.nan, np.float32)
    for starts, ends, firsts in _windows(offsets, lengths, codec.max_len_steps, which):
        for cut in _batches(ends - starts):
            _answer(steps, starts[cut], ends[cut], firsts[cut], run_model, probability_N)

    pairs, pair_N = np.unique(codes_N * len(skills) + sets_N, return_inverse=True)
    flags = _flags(codec, [(items[pair // len(skills)], skills[pair % len(skills)]) for pair in pairs.tolist()])
    is_new_N = np.array([not NEW.isdisjoint(own) for own in flags], bool)[pair_N]
    before_N = np.concatenate([[0], np.cumsum(is_new_N)])  # new steps before each step
    step_N = np.arange(interactions.height)
    oldest_N = np.repeat(offsets, lengths)
    used_N = np.maximum(oldest_N, step_N - (codec.max_len_steps - 1))  # the oldest step that the service reads
    answers = interactions.select("student", "position", "item", "file", "row").with_columns(
        pl.Series("probability", probability_N, pl.Float32),
        pl.Series("flags", [";".join(own) for own in flags], pl.String).gather(pair_N.astype(np.uint32)),
        pl.Series("history_shortened", used_N > oldest_N, pl.Boolean),
        pl.Series("new_in_history", before_N[step_N] > before_N[used_N], pl.Boolean),
    )
    return answers if which == "all" else answers[(offsets + lengths - 1).tolist()]


def _numbered(column: pl.Series) -> tuple[list[str | None], npt.NDArray[np.int64]]:
    """Return the different values, None at last, and the place of each entry's value among them."""
    names = column.drop_nulls().unique(maintain_order=True)
    if not len(names):
        return [None], np.zeros(len(column), np.int64)
    codes = column.cast(pl.Enum(names)).to_physical().fill_null(len(names))
    return [*names.to_list(), None], codes.to_numpy().astype(np.int64)


def _flags(codec: ReleasedCodec, pairs: Sequence[tuple[str | None, Sequence[str]]]) -> list[tuple[str, ...]]:
    """Return the flags that the codec gives to candidates with these items and skills."""
    module = sys.modules[type(codec).__module__]
    flags: list[tuple[str, ...]] = []
    for at in range(0, len(pairs), CANDIDATES):
        few = pairs[at : at + CANDIDATES]
        candidates = tuple(module.Candidate(item=item, skills=tuple(skills)) for item, skills in few)
        flags += [tuple(row.flags) for row in codec.encode(module.Request(candidates=candidates))]
    return flags


def _windows(
    offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], longest: int, which: str
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield (start, end, first answered step) of windows; each step asked for is answered by exactly one window."""
    if which == "last":
        ends = offsets + lengths
        yield np.maximum(offsets, ends - longest), ends, ends - 1
        return
    ends = offsets + np.minimum(lengths, longest)
    yield offsets, ends, offsets
    later = np.maximum(lengths - longest, 0)
    if later.any():
        place = np.arange(later.sum()) - np.repeat(np.cumsum(later) - later, later)
        ends = np.repeat(offsets, later) + longest + place + 1
        yield ends - longest, ends, ends - 1


def _batches(lengths: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Yield indices of windows of like length, at most BATCH_STEPS padded steps at a time."""
    order = np.argsort(-lengths, kind="stable")
    at = 0
    while at < len(order):
        count = max(1, BATCH_STEPS // int(lengths[order[at]]))
        yield order[at : at + count]
        at += count


def _answer(
    steps: _Steps,
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    run_model: RunModel,
    probability_N: npt.NDArray[np.float32],
) -> None:
    """Answer a batch of windows and write the probabilities of their answered steps."""
    steps_T = np.arange(int((ends - starts).max()))
    index_BT = starts[:, None] + steps_T
    mask_BT = index_BT < ends[:, None]
    index_BT = np.where(mask_BT, index_BT, 0)
    own = {} if steps.group_N is None else {GROUP: steps.group_N[starts]}
    outputs = run_model(
        {  # zeros at the right, as `Codec.batch` writes; no answer looks ahead, so none depends on them
            "items": np.where(mask_BT, steps.items_N[index_BT], 0),
            "skills": np.where(mask_BT[..., None], steps.skills[steps.sets_N[index_BT]], 0),
            "responses": np.where(mask_BT, steps.responses_N[index_BT], np.float32(0)),
            **own,
        }
    )
    asked_BT = mask_BT & (index_BT >= firsts[:, None])
    probability_N[index_BT[asked_BT]] = outputs["probability"][asked_BT]
