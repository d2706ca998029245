"""Identities: columns with ids or names of students are refused, without a value shown or written anywhere."""

from pathlib import Path

import pytest

from components.errors import SchemaError
from components.ingest.config import ColumnMapping, IngestConfig
from tests.components.ingest.running import ingest_files

TIMED = "pupil,task,topic,right,at,cohort\n"


def table(students: list[str], task: str, topic: str, cohort: str, answers: int = 3) -> str:
    """Write `answers` rows per student; `{s}` stands for the student, `{n}` its number, `{a}` the answer's."""
    lines = []
    for n, s in enumerate(students):
        for a in range(answers):
            cells = (x.format(s=s, n=n, a=a) for x in (s, task, topic, str(a % 2), str(1000 * n + a), cohort))
            lines.append(",".join(cells))
    return TIMED + "\n".join(lines) + "\n"


def config(*groups: str) -> IngestConfig:
    return IngestConfig(
        mapping=ColumnMapping(
            student="pupil", item="task", skills="topic", skill_separator=";", correct="right", time="at", groups=groups
        )
    )


def refusal(folder: Path, body: str, *groups: str, secret: str) -> str:
    """Return the message, after a look into everything that was written."""
    with pytest.raises(SchemaError) as caught:
        ingest_files(folder, {"a.csv": body}, config(*groups))
    for path in (folder / "store").rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path.name
    message = str(caught.value)
    assert secret not in message
    return message


NAMED = [f"pupil-{n:03}" for n in range(40)]
NUMBERED = [str(71_000_000 + n) for n in range(1, 101)]


@pytest.mark.parametrize("students", [NAMED, NUMBERED, ["70000001", "70000002", "70000003"], ["anna", "bert", "carl"]])
@pytest.mark.parametrize(
    ("columns", "source"),
    [
        (("{s}", "add", "g"), "task"),
        (("t{a}", "{s}", "g"), "topic"),
        (("t{a}", "add;{s}", "g"), "topic"),
        (("t{a}", "add", "{s}"), "cohort"),
        (("t{a}", "add", " 00{s} "), "cohort"),
    ],
)
def test_columns_with_ids_of_students_are_refused(
    tmp_path: Path, students: list[str], columns: tuple[str, str, str], source: str
) -> None:
    message = refusal(tmp_path, table(students, *columns), "cohort", secret=students[-1])
    assert f"  - {source}: " in message
    assert "ids of students. Expected" in message


def test_a_native_group_column_is_named_as_in_the_source(tmp_path: Path) -> None:
    body = "student,item,correct,group_x\n" + "".join(f"kid{n},i,1,KID{n}\n" for n in range(9))
    with pytest.raises(SchemaError, match=r"- group_x: 9 of its 9 values are ids of students.*leave it out"):
        ingest_files(tmp_path, {"a.csv": body})


def test_a_few_ids_in_a_large_group_are_enough_and_five_are_not(tmp_path: Path) -> None:
    students = [f"pupil-{n:04}" for n in range(1000)]

    def body(leaks: int) -> str:
        return TIMED + "".join(f"{s},t,add,1,{n},{s if n < leaks else 'g'}\n" for n, s in enumerate(students))

    assert "cohort: 6 of its 1000 values" in refusal(tmp_path / "six", body(6), "cohort", secret=students[0])
    assert ingest_files(tmp_path / "five", {"a.csv": body(5)}, config("cohort")).logs.rows == 1000


def test_ids_of_other_students_are_ids_too(tmp_path: Path) -> None:
    body = TIMED + "".join(f"{s},t{n},add,1,{n},{NAMED[n - 1]}\n" for n, s in enumerate(NAMED))
    assert "cohort: 40 of its 40 values" in refusal(tmp_path, body, "cohort", secret=NAMED[3])


def test_small_numbers_that_coincide_are_no_ids(tmp_path: Path) -> None:
    # 100 students each answer all of the problems 1..100, one of the skills 1..10 each, in the classes 1..4
    lines = [f"{s},{i},{i % 10 + 1},{i % 2},{1000 * s + i},{s % 4 + 1}\n" for s in range(1, 101) for i in range(1, 101)]
    outcome = ingest_files(tmp_path, {"a.csv": TIMED + "".join(lines)}, config("cohort"))
    assert (outcome.logs.rows, outcome.logs.students, outcome.logs.items) == (10_000, 100, 100)


def test_ten_students_and_ten_problems_of_the_same_numbers_are_no_ids(tmp_path: Path) -> None:
    lines = [f"{s},{i},{i},{i % 2},{100 * s + i},{s % 2}\n" for s in range(1, 11) for i in range(1, 11)]
    assert ingest_files(tmp_path, {"a.csv": TIMED + "".join(lines)}, config("cohort")).logs.rows == 100


@pytest.mark.parametrize(("different", "students", "fits"), [(50, 100, True), (51, 102, False), (51, 255, True)])
def test_groups_of_about_one_value_per_student_are_refused(
    tmp_path: Path, different: int, students: int, fits: bool
) -> None:
    names = [f"pupil-{n:03}" for n in range(students)]
    body = TIMED + "".join(f"{s},t,add,1,{n},Street {n % different}x\n" for n, s in enumerate(names))
    if fits:
        assert ingest_files(tmp_path, {"a.csv": body}, config("cohort")).logs.groups == ("cohort",)
    else:
        message = refusal(tmp_path, body, "cohort", secret="Street 7x")
        assert f"cohort: {different} different values for {students} students identify people" in message
        assert "put it into a few bins" in message


@pytest.mark.parametrize(
    ("students", "shared", "fits"),
    [(45, 0, False), (21, 20, False), (20, 20, True), (3, 0, False), (2, 0, True), (1, 0, True)],
)
def test_groups_whose_values_belong_to_one_student_each_are_refused(
    tmp_path: Path, students: int, shared: int, fits: bool
) -> None:
    # a full name for each of some students, and rooms that two others share; at most 50 values, the older limit
    lines = [f"pupil-{n:03},t{a},add,1,{10 * n + a},Kim Number{n}x\n" for n in range(students) for a in range(2)]
    for n in range(shared):
        lines += [f"other-{n}-{twin},t,add,1,{n},Room {n}\n" for twin in range(2)]
    alone, different = students, students + shared
    body = TIMED + "".join(lines)
    if fits:
        assert ingest_files(tmp_path, {"a.csv": body}, config("cohort")).logs.groups == ("cohort",)
    else:
        message = refusal(tmp_path, body, "cohort", secret="Number1x")
        assert f"cohort: {alone} of its {different} different values belong to a single student each" in message


@pytest.mark.parametrize(("rare", "fits"), [(10, True), (11, False)])
def test_a_few_rare_values_among_many_students_are_kept(tmp_path: Path, rare: int, fits: bool) -> None:
    # of 50 students 20 %, which is 10, may each speak a language of their own
    body = TIMED + "".join(f"pupil-{n},t,add,1,{n},{f'language {n}x' if n < rare else 'de'}\n" for n in range(50))
    if fits:
        assert ingest_files(tmp_path, {"a.csv": body}, config("cohort")).logs.rows == 50
    else:
        assert "cohort: 11 of its 12 different values" in refusal(tmp_path, body, "cohort", secret="language 3x")


@pytest.mark.parametrize(("columns", "source"), [(("Kim {n}", "add"), "task"), (("t{a}", "Kim {n}"), "topic")])
def test_items_and_skills_that_are_one_per_student_are_refused(
    tmp_path: Path, columns: tuple[str, str], source: str
) -> None:
    students = [f"pupil-{n:03}" for n in range(60)]
    message = refusal(tmp_path, table(students, *columns, "g"), secret="Kim 7")
    assert f"  - {source}: 60 different values, and one per student, identify people" in message


def test_all_such_columns_are_listed(tmp_path: Path) -> None:
    message = refusal(tmp_path, table(NAMED, "{s}", "{s}", "{s}"), "cohort", secret="pupil-")
    assert message.startswith("3 column(s) would publish who students are")


def test_a_column_is_named_without_what_a_terminal_would_act_on(tmp_path: Path) -> None:
    name = "ra\x1b[31mng\ufffd"
    body = table(NAMED, "t{a}", "add", "{s}").replace("cohort", name, 1)
    message = refusal(tmp_path, body, name, secret="pupil-0")
    assert r"ra\x1b[31mng\ufffd: " in message
