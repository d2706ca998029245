"""The knowledge-tracing codec: a request -> arrays -> an answer. Standard library and numpy only, nothing of ours.

A release carries this file. Preprocessing uses the same `item_indices` and `skill_rows`, so both read data alike.

Shapes: B rows (one per candidate), T steps, K skills per step at most.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

CODEC_VERSION = 2
"""Of a vocabulary with groups; one without them is written as version 1, as ever."""
PADDING = 0
"""Index of padding, of 'no item', and of empty places in a skill set."""
UNKNOWN = 1
"""Index of an item or skill that training did not see often enough."""
FIRST = 2
"""Index of the first known item or skill."""
NO_GROUP = 0
"""Index of a group that is not given or not known: its answers take the map for everybody. Group i has index i + 1."""

MAX_CANDIDATES = 100
MAX_HISTORY = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One answer that the student gave, oldest first in a history."""

    correct: float
    """1 right, 0 wrong, or a score between."""
    item: str | None = None
    skills: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An item that the student might be given next."""

    item: str | None = None
    skills: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A student's recent history and the items to predict. The service keeps nothing of it."""

    candidates: tuple[Candidate, ...]
    history: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestWithGroup(Request):
    """A student's recent history, the items to predict, and the group whose map the answers take.

    Only releases with a map for each group read such requests. Law or policy may forbid that answers hang on a group.
    """

    group: str | None = None
    """The student's group; without one, or with one that the release does not know, the map is that for everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is expected of one candidate."""

    probability: float
    """Probability of a correct answer, in [0, 1]."""
    flags: tuple[str, ...] = ()
    """`new_item`, `new_skill` (some skill was not seen in training), `no_known_part` (nothing known of the item)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Predictions in the order of the candidates."""

    predictions: tuple[Prediction, ...]
    steps_used: int
    """How many steps of the history were read: the latest ones."""
    flags: tuple[str, ...] = ()
    """`history_shortened` when older steps were left out; `new_in_history` when a step had a new item or skill;
    `new_group` when a group was given that has no map of its own, so that the one for everybody was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One candidate after its history, encoded."""

    items_T: npt.NDArray[np.int64]
    skills_TK: npt.NDArray[np.int64]
    responses_T: npt.NDArray[np.float32]
    flags: tuple[str, ...]
    group: int = NO_GROUP


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Vocabulary of items and skills, and the two directions.

    Args:
        items: known items; item number i has index FIRST + i. Empty where the data have no items.
        skills: known skills, likewise.
        max_skills: K; of a larger set the first K by name that are known count.
        max_len_steps: longest input in steps, the candidate included.
        group_by: the students' attribute that `groups` are values of; empty where answers are mapped for all alike.
        groups: groups with a map of their own; group i has index i + 1.
    """

    items: tuple[str, ...]
    skills: tuple[str, ...]
    max_skills: int
    max_len_steps: int
    group_by: str = ""
    groups: tuple[str, ...] = ()
    _item_index: dict[str, int] = field(init=False, repr=False, compare=False)
    _skill_index: dict[str, int] = field(init=False, repr=False, compare=False)
    _group_index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_item_index", {name: i for i, name in enumerate(self.items, FIRST)})
        object.__setattr__(self, "_skill_index", {name: i for i, name in enumerate(self.skills, FIRST)})
        object.__setattr__(self, "_group_index", {name: i for i, name in enumerate(self.groups, NO_GROUP + 1)})

    @property
    def item_count(self) -> int:
        """Rows of an item table: padding and unknown included."""
        return FIRST + len(self.items)

    @property
    def skill_count(self) -> int:
        """Rows of a skill table: padding and unknown included."""
        return FIRST + len(self.skills)

    @property
    def request_class(self) -> type[Request]:
        """The class of requests: with a group only where answers are mapped by group."""
        return RequestWithGroup if self.groups else Request

    def with_groups(self, by: str, groups: Sequence[str]) -> "Codec":
        """Return a codec that also reads the group of a student: of the attribute `by`, one of `groups`."""
        return replace(self, group_by=by, groups=tuple(groups))

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary and settings as plain JSON values."""
        return {
            "codec": "knowledge_tracing",
            "version": CODEC_VERSION if self.groups else 1,
            "items": list(self.items),
            "skills": list(self.skills),
            "max_skills": self.max_skills,
            "max_len_steps": self.max_len_steps,
            **({"group_by": self.group_by, "groups": list(self.groups)} if self.groups else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Codec":
        """Rebuild from `to_json`'s value."""
        if value.get("codec") != "knowledge_tracing" or int(value["version"]) > CODEC_VERSION:
            raise ValueError(
                f"Not a vocabulary of this codec: {value.get('codec')!r} version {value.get('version')}; "
                f"expected 'knowledge_tracing' up to version {CODEC_VERSION}."
            )
        return cls(
            items=tuple(value["items"]),
            skills=tuple(value["skills"]),
            max_skills=int(value["max_skills"]),
            max_len_steps=int(value["max_len_steps"]),
            group_by=str(value.get("group_by", "")),
            groups=tuple(value.get("groups", ())),
        )

    def item_indices(self, items: Sequence[str | None]) -> npt.NDArray[np.int64]:
        """Return the index of each item: PADDING for None (or where no items are known), else known or UNKNOWN."""
        if not self.items:
            return np.zeros(len(items), np.int64)
        index = self._item_index
        return np.fromiter((PADDING if i is None else index.get(i, UNKNOWN) for i in items), np.int64, len(items))

    def skill_rows(self, sets: Sequence[Sequence[str]]) -> npt.NDArray[np.int64]:
        """Return (N, K) indices of each set's known skills, zeros at the right; (UNKNOWN, 0, ...) if none is known."""
        out = np.zeros((len(sets), self.max_skills), np.int64)
        index = self._skill_index
        # Most have one skill: these at once, an assignment to an array costs a microsecond.
        out[:, 0] = [index.get(names[0], UNKNOWN) if len(names) == 1 else UNKNOWN for names in sets]
        for row, names in enumerate(sets):
            if len(names) > 1 and (known := sorted({index[name] for name in names if name in index})):
                out[row, : len(known)] = known[: self.max_skills]
        return out

    def group_indices(self, groups: Sequence[str | None]) -> npt.NDArray[np.int64]:
        """Return the index of each student's group: NO_GROUP for None and for one without a map of its own."""
        index = self._group_index
        return np.fromiter((NO_GROUP if g is None else index.get(g, NO_GROUP) for g in groups), np.int64, len(groups))

    def encode(self, request: Request) -> list[Row]:
        """Return one row per candidate: the latest history, then the candidate as the step to predict."""
        if not request.candidates:
            raise ValueError("candidates is empty; name at least one item or set of skills to predict.")
        if len(request.candidates) > MAX_CANDIDATES:
            raise ValueError(
                f"candidates has {len(request.candidates)} entries; at most {MAX_CANDIDATES} are answered at once. "
                "Send several requests."
            )
        if len(request.history) > MAX_HISTORY:
            raise ValueError(
                f"history has {len(request.history)} steps; at most {MAX_HISTORY} are accepted, and only the latest "
                f"{self.max_len_steps - 1} are used."
            )
        past = request.history[-(self.max_len_steps - 1) :] if self.max_len_steps > 1 else ()
        for step in past:
            if not 0.0 <= step.correct <= 1.0:
                raise ValueError("a step's correct is out of range; expected 0 (wrong) to 1 (right).")
        past_items = self.item_indices([s.item for s in past])
        past_skills = self.skill_rows([s.skills for s in past])
        responses = np.array([*(s.correct for s in past), 0.0], np.float32)
        group = int(self.group_indices([_group_of(request)])[0])
        rows = []
        for candidate in request.candidates:
            item = self.item_indices([candidate.item])
            skills = self.skill_rows([candidate.skills])
            rows.append(
                Row(
                    items_T=np.concatenate([past_items, item]),
                    skills_TK=np.concatenate([past_skills, skills]),
                    responses_T=responses,
                    flags=self._flags(candidate),
                    group=group,
                )
            )
        return rows

    def batch(self, rows: Sequence[Row]) -> dict[str, npt.NDArray[Any]]:
        """Return `items` (B, T) int64, `skills` (B, T, K) int64, `responses` (B, T) float32, zeros at the right.

        Where answers are mapped by group, also `group` (B,) int64.
        """
        longest = max(len(r.items_T) for r in rows)
        items = np.zeros((len(rows), longest), np.int64)
        skills = np.zeros((len(rows), longest, self.max_skills), np.int64)
        responses = np.zeros((len(rows), longest), np.float32)
        for b, row in enumerate(rows):
            length = len(row.items_T)
            items[b, :length] = row.items_T
            skills[b, :length] = row.skills_TK
            responses[b, :length] = row.responses_T
        found: dict[str, npt.NDArray[Any]] = {"items": items, "skills": skills, "responses": responses}
        if self.groups:
            found["group"] = np.array([row.group for row in rows], np.int64)
        return found

    def decode(
        self, request: Request, rows: Sequence[Row], outputs: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> Answer:
        """Return the answer from `probability` (T,) of each row, read at the row's last step."""
        used = len(rows[0].items_T) - 1
        past = request.history[len(request.history) - used :]
        flags = []
        if used < len(request.history):
            flags.append("history_shortened")
        if self._any_is_new(past):
            flags.append("new_in_history")
        if rows[0].group == NO_GROUP and _group_of(request) is not None:
            flags.append("new_group")
        predictions = tuple(
            Prediction(probability=float(out["probability"][len(row.items_T) - 1]), flags=row.flags)
            for row, out in zip(rows, outputs, strict=True)
        )
        return Answer(predictions=predictions, steps_used=used, flags=tuple(flags))

    def signals(self, request: Request, answer: Mapping[str, Any]) -> dict[str, float]:
        """Return the mean probability, and of the steps that were used how many, and the shares right and new."""
        predictions, used = answer["predictions"], answer["steps_used"]
        new = sum(1 for one in predictions if "new_item" in one["flags"] or "new_skill" in one["flags"])
        found = {
            "probability": sum(one["probability"] for one in predictions) / len(predictions),
            "new_candidates": new / len(predictions),
            "history": float(used),
        }
        if used:
            past = request.history[len(request.history) - used :]
            found["right_in_history"] = sum([step.correct for step in past]) / used
            is_seen = "new_in_history" not in answer["flags"]
            found["new_in_history"] = 0.0 if is_seen else sum(self._is_new(s.item, s.skills) for s in past) / used
        return found

    def golden_requests(self, count: int, seed: int) -> list[Request]:
        """Return synthetic requests: no history, one step, the longest, new items and skills, and random ones.

        Where answers are mapped by group, each group is asked for, none and a new one too: if need be, more than
        `count` requests.
        """
        groups = (*self.groups, None, "a new group") if self.groups else ()
        count = max(count, len(groups))
        source = random.Random(seed)
        items: list[str | None] = list(self.items) or [None]
        skills = list(self.skills) or ["skill"]

        def candidate() -> Candidate:
            chosen = sorted({source.choice(skills) for _ in range(source.randint(1, self.max_skills))})
            return Candidate(item=source.choice(items), skills=tuple(chosen))

        def history(length: int) -> tuple[Step, ...]:
            steps = (candidate() for _ in range(length))
            return tuple(Step(correct=float(source.random() < 0.6), item=c.item, skills=c.skills) for c in steps)

        new = Candidate(item="a new item", skills=("a new skill",))
        half_new = Candidate(item="a new item", skills=(source.choice(skills), "a new skill"))
        fixed = [
            Request(candidates=(candidate(),)),
            Request(candidates=(candidate(), candidate()), history=history(1)),
            Request(candidates=(candidate(),), history=history(self.max_len_steps + 5)),
            Request(candidates=(new, half_new, Candidate()), history=history(3)),
        ]
        more = [
            Request(
                candidates=tuple(candidate() for _ in range(source.randint(1, 3))),
                history=history(source.randint(0, min(60, self.max_len_steps))),
            )
            for _ in range(max(0, count - len(fixed)))
        ]
        asked = (fixed + more)[:count]
        if not groups:
            return asked
        return [
            RequestWithGroup(candidates=r.candidates, history=r.history, group=groups[i % len(groups)])
            for i, r in enumerate(asked)
        ]

    def _is_new(self, item: str | None, skills: Sequence[str]) -> bool:
        new_item = bool(self.items) and item is not None and item not in self._item_index
        return new_item or any(s not in self._skill_index for s in skills)

    def _any_is_new(self, steps: Sequence[Step]) -> bool:
        """Return whether `_is_new` holds for any step; every answer asks it of a whole history, hence by sets."""
        items = {step.item for step in steps} - {None} if self.items else set()
        skills = set().union(*[step.skills for step in steps])
        return not (items <= self._item_index.keys() and skills <= self._skill_index.keys())

    def _flags(self, candidate: Candidate) -> tuple[str, ...]:
        known_item = candidate.item in self._item_index
        known_skill = any(s in self._skill_index for s in candidate.skills)
        flags = []
        if self.items and candidate.item is not None and not known_item:
            flags.append("new_item")
        if any(s not in self._skill_index for s in candidate.skills):
            flags.append("new_skill")
        if not known_item and not known_skill:
            flags.append("no_known_part")
        return tuple(flags)


def _group_of(request: Request) -> str | None:
    return request.group if isinstance(request, RequestWithGroup) else None
