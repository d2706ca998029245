"""Splitting responses by student and text."""

import hashlib

import polars as pl

from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.split import divide, units
from tests.components.writing import made_up


def place(name: str, seed: int = 0) -> float:
    """Return where a student lies in [0, 1), by the rule that the split documents."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") / 2**64


def rows(*entries: tuple[str, str, str, str | None]) -> pl.DataFrame:
    names = ("student", "prompt", "text", "declared_split")
    return pl.DataFrame(list(entries), dict.fromkeys(names, pl.String), orient="row")


def test_units_join_students_and_texts() -> None:
    found = units(
        ["a", "b", "b", "c", "d", "e"],
        ["1", "1", "2", "2", "2", "1"],
        ["One", "two", "one", " ONE\n", "three", "three"],
    ).tolist()
    # b's second text is c's; the same words to another prompt join nobody
    assert found[1] == found[2] == found[3]
    assert len({found[0], found[1], found[4], found[5]}) == 4


def test_the_side_is_that_of_the_least_pseudonym() -> None:
    table = rows(*((f"s{n}", "1", f"text {n}", None) for n in range(200)))
    side = divide(table, WritingPreprocessConfig()).side_N.tolist()
    expected = [2 if place(f"s{n}") < 0.2 else 1 if place(f"s{n}") < 0.4 else 0 for n in range(200)]
    assert side == expected


def test_a_student_and_a_text_are_in_one_split_only() -> None:
    table = made_up.table(120)
    table = pl.concat([table, table.head(30).with_columns(student=pl.lit("copier"), response=pl.lit("x"))])
    divided = divide(table, WritingPreprocessConfig(split_seed=3))
    table = table.with_columns(side=pl.Series(divided.side_N))
    for key in (["student"], ["prompt", "text"]):
        assert table.group_by(key).agg(pl.col("side").n_unique())["side"].max() == 1
    assert divided.crossing == 0


def test_later_students_move_nobody() -> None:
    few, many = (rows(*((f"s{n}", "1", f"text {n}", None) for n in range(count))) for count in (50, 90))
    config = WritingPreprocessConfig()
    assert divide(many, config).side_N[:50].tolist() == divide(few, config).side_N.tolist()


def test_declared_folds_are_followed_and_crossings_counted() -> None:
    table = rows(
        ("a", "1", "one", "train"),
        ("b", "1", "two", "valid"),
        ("c", "1", "three", "test"),
        ("d", "1", "One ", "test"),  # a's text
        ("c", "2", "four", None),  # goes where the student is
        ("e", "1", "five", None),
    )
    divided = divide(table, WritingPreprocessConfig())
    assert divided.side_N.tolist() == [0, 1, 2, 2, 2, 0]
    assert divided.crossing == 2


def test_by_response_a_student_may_be_in_several_splits_and_a_text_may_not() -> None:
    table = rows(*(("s", "1", f"text {n // 2}", None) for n in range(200))).with_columns(
        response=pl.Series([f"r{n:03}" for n in range(200)])
    )
    side = divide(table, WritingPreprocessConfig(split_by="response")).side_N
    assert set(side.tolist()) == {0, 1, 2}
    assert (side[::2] == side[1::2]).all()
    whole = divide(table, WritingPreprocessConfig()).side_N
    assert len(set(whole.tolist())) == 1
