"""Writing a dataset: vocabulary, encoding, splits and windows of five students, all by hand."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.errors import NotEnoughDataError
from components.preprocess.config import PreprocessConfig
from components.preprocess.layout import Layout, write_dataset
from components.schema import INTERACTIONS, SKILL_SETS, STUDENTS
from flows.knowledge_tracing.encode import KnowledgeTracingEncoder

SETS = [[], ["add"], ["add", "div", "mul"], ["new"], ["add", "new"]]
Step = tuple[str | None, int, float]
"""Item, skill set, and how right."""
HISTORIES: dict[str, list[Step]] = {
    "train a": [("i1", 1, 1), ("i2", 2, 0), ("i1", 1, 1), ("i1", 0, 0), (None, 1, 1)],
    "train b": [("i2", 1, 0), ("i3", 2, 0.25)],
    "valid": [("i9", 3, 1), ("i9", 4, 0), ("i2", 2, 1)],
    "test a": [("i8", 3, 0), ("i1", 1, 1), ("i8", 1, 1)],
    "test b": [("i3", 1, 1)],
}


def place(name: str) -> float:
    """Return where a student lies in [0, 1), by the rule that the split documents."""
    return int.from_bytes(hashlib.sha256(f"0:{name}".encode()).digest()[:8], "big") / 2**64


def named() -> dict[str, str]:
    """Return role -> a name that falls on its side: the lower half of the places is validation."""
    names = [f"s{n:02}" for n in range(40)]
    low = [n for n in names if place(n) < 0.5]
    high = [n for n in names if place(n) >= 0.5]
    # declared test students come from both halves
    return {"train a": high[0], "train b": high[1], "valid": low[0], "test a": low[1], "test b": high[2]}


def write_logs(folder: Path, histories: dict[str, list[Step]] | None = None, declared: str = "test") -> dict[str, str]:
    """Write the tables of ingest and return role -> student."""
    names = named()
    steps = histories or HISTORIES
    own = sorted((names[role], role) for role in steps)
    rows = [
        (student, position, item, skills, None if correct == 0.25 else int(correct), correct)
        for student, role in own
        for position, (item, skills, correct) in enumerate(steps[role])
    ]
    schema = {
        "student": pl.String, "position": pl.UInt32, "item": pl.String, "skill_set": pl.UInt32, "correct": pl.Int8,
        "score": pl.Float32,
    }  # fmt: skip
    folder.mkdir()
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / INTERACTIONS)
    pl.DataFrame(
        {"skill_set": range(len(SETS)), "skills": SETS}, schema={"skill_set": pl.UInt32, "skills": pl.List(pl.String)}
    ).write_parquet(folder / SKILL_SETS)
    held = ["test" if role.startswith(declared) else None for _, role in own]
    pl.DataFrame(
        {"student": [s for s, _ in own], "declared_split": held}, schema_overrides={"declared_split": pl.String}
    ).write_parquet(folder / STUDENTS)
    return names


def written(tmp_path: Path, histories: dict[str, list[Step]] | None = None, **changes: int) -> tuple[Layout, Path]:
    write_logs(tmp_path / "logs", histories)
    target = tmp_path / "data"
    target.mkdir()
    settings: dict[str, Any] = {"max_len_steps": 2, "max_skills": 2, **changes}  # Any: the settings' own types
    config = PreprocessConfig(valid_share=0.5, test_share=0.0, **settings)
    return write_dataset(tmp_path / "logs", target, KnowledgeTracingEncoder(), config), target


def array(target: Path, split: str, name: str) -> list[Any]:  # Any: nested numbers
    found: list[Any] = np.load(target / split / f"{name}.npy").tolist()
    return found


def in_order(*roles: str) -> list[str]:
    """Return the roles in the order of their students, as sequences lie."""
    names = named()
    return sorted(roles, key=lambda role: names[role])


def test_the_vocabulary_is_that_of_training_students_alone(tmp_path: Path) -> None:
    # training met i1 three times, i2 twice, i3 once; i8 and i9, and the skill `new`, are others' alone
    layout, _ = written(tmp_path)
    assert (layout.codec["items"], layout.codec["skills"]) == (["i1", "i2"], ["add", "div", "mul"])
    assert (layout.codec["max_skills"], layout.codec["max_len_steps"]) == (2, 2)


def test_counts_decide_what_is_known(tmp_path: Path) -> None:
    # `add` is met four times by train a and twice by train b; div and mul twice in all
    layout, _ = written(tmp_path, min_item_count=3, min_skill_count=3)
    assert (layout.codec["items"], layout.codec["skills"]) == (["i1"], ["add"])
    assert layout.codec["max_skills"] == 2


def test_no_wider_than_the_widest_set_of_training(tmp_path: Path) -> None:
    layout, _ = written(tmp_path, max_skills=8)
    assert layout.codec["max_skills"] == 3


def test_steps_are_encoded_by_hand(tmp_path: Path) -> None:
    _, target = written(tmp_path)
    # 0 no item, 1 unknown, i1 2, i2 3; skills: 0 empty, 1 unknown, add 2, div 3, mul 4, two of them at most
    items = {"train a": [2, 3, 2, 2, 0], "train b": [3, 1], "valid": [1, 1, 3], "test a": [1, 2, 1], "test b": [1]}
    add, three, unknown = [2, 0], [2, 3], [1, 0]
    skills = {
        "train a": [add, three, add, unknown, add],
        "train b": [add, three],
        "valid": [unknown, add, three],
        "test a": [unknown, add, add],
        "test b": [add],
    }
    for split, roles in (("train", in_order("train a", "train b")), ("test", in_order("test a", "test b"))):
        assert array(target, split, "items") == [i for r in roles for i in items[r]]
        assert array(target, split, "skills") == [k for r in roles for k in skills[r]]
        assert array(target, split, "responses") == [c for r in roles for _, _, c in HISTORIES[r]]
        assert array(target, split, "position") == [p for r in roles for p in range(len(HISTORIES[r]))]
    assert (array(target, "valid", "items"), array(target, "valid", "skills")) == (items["valid"], skills["valid"])


def test_windows_lie_where_their_students_do(tmp_path: Path) -> None:
    layout, target = written(tmp_path)
    # windows of two: five steps are 2 + 2 + 1, three are 2 + 1
    sizes = {"train a": [2, 2, 1], "train b": [2], "valid": [2, 1], "test a": [2, 1], "test b": [1]}
    students = pl.read_parquet(target / "students.parquet")["student"].to_list()
    assert students == sorted(named().values())
    for split in ("train", "valid", "test"):
        roles = in_order(*(r for r in sizes if r.startswith(split)))
        lengths = [n for r in roles for n in sizes[r]]
        assert array(target, split, "lengths") == lengths
        assert array(target, split, "starts") == [sum(lengths[:i]) for i in range(len(lengths))]
        owners = [students[i] for i in array(target, split, "window_student")]
        assert owners == [named()[r] for r in roles for _ in sizes[r]]
    assert layout.steps == {"train": 7, "valid": 3, "test": 4}
    assert layout.windows == {"train": 4, "valid": 2, "test": 3}
    assert layout.students == {"train": 2, "valid": 1, "test": 2}


def test_the_codec_is_plain_json(tmp_path: Path) -> None:
    layout, _ = written(tmp_path)
    assert json.loads(json.dumps(layout.codec)) == layout.codec


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"valid": 1}, r"split\(s\) valid \(1 students, 1 answers\); expected .*Raise preprocess.valid_share or"),
        ({"test a": 1}, r"split\(s\) test \(2 students, 2 answers\)"),
        ({"train a": 1, "train b": 1, "valid": 1}, r"train \(2 students, 2 answers\), valid \(1 students, 1 answers\)"),
    ],
)
def test_a_split_in_which_nothing_is_predicted_is_refused(tmp_path: Path, changes: dict[str, int], said: str) -> None:
    histories = {role: steps[: changes.get(role, len(steps))] for role, steps in HISTORIES.items()}
    with pytest.raises(NotEnoughDataError, match=said):
        written(tmp_path, histories)
    assert list((tmp_path / "data").iterdir()) == []


def test_windows_of_one_step_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughDataError, match=r"train .*, valid .*, test .*Raise preprocess.max_len_steps"):
        written(tmp_path, max_len_steps=1)


def test_a_split_without_students_is_refused(tmp_path: Path) -> None:
    histories = {role: steps for role, steps in HISTORIES.items() if role != "valid"}
    with pytest.raises(NotEnoughDataError, match=r"4 students leave the split\(s\) valid empty"):
        written(tmp_path, histories)


def test_a_windows_first_answer_is_not_scored(tmp_path: Path) -> None:
    _, target = written(tmp_path)
    for split in ("train", "valid", "test"):
        scored = np.load(target / split / "scored.npy")
        assert np.flatnonzero(~scored).tolist() == np.load(target / split / "starts.npy").tolist()
