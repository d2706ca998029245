"""Layouts on published data: counts as the data sets are described, and cleaning that equals the published one."""

import csv
import gzip
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from components.ingest.config import IngestConfig
from tests.components.ingest.running import KEY, Outcome, ingest_uris

pytestmark = pytest.mark.data


def lines_of(path: Path) -> list[str]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        return [line.rstrip("\r\n") for line in stream]


def test_assistments_sample_merges_to_one_row_per_order_id(data_folder: Path, tmp_path: Path) -> None:
    path = data_folder / "assist2009-raw-sample" / "assistment_test15.csv"
    outcome = ingest_uris(tmp_path, [str(path)])
    with path.open(encoding="utf-8-sig") as stream:
        source = list(csv.DictReader(stream))
    by_order: dict[int, set[str]] = {}
    for row in source:
        skill = row["skill_name"].strip() or (f"skill {row['skill_id']}" if row["skill_id"] else "")
        by_order.setdefault(int(row["order_id"]), set()).update({skill} - {""})
    assert (outcome.report["rows_in"], outcome.logs.rows, outcome.logs.students) == (1887, 1548, 15)
    order_of_row = {n: int(row["order_id"]) for n, row in enumerate(source, 1)}
    orders = [order_of_row[n] for n in outcome.interactions["row"]]
    assert [sorted(by_order[o]) for o in orders] == outcome.skills
    for _, own in pl.DataFrame({"s": outcome.interactions["student"], "o": orders}).group_by("s", maintain_order=True):
        assert own["o"].is_sorted()
    apart = ingest_uris(tmp_path / "rows", [str(path)], IngestConfig(protocol="row_per_skill"))
    assert (apart.logs.rows, apart.report["rows_merged"]) == (1887, 0)


@pytest.mark.parametrize(
    ("folder", "train", "test", "counts", "skills"),
    [
        (
            "assist2009_updated",
            "assist2009_updated_train",
            "assist2009_updated_test",
            (224_218, 101_419, 2_921, 1_230),
            110,
        ),
        ("assist2015", "assist2015_train", "assist2015_test", (484_040, 199_761, 13_935, 5_905), 100),
        ("assist0910-xiong", "0910_a_train", "0910_a_test", (329_429, 71_843, 3_372, 844), 122),
        ("assist0910-xiong", "0910_b_train", "0910_b_test", (262_296, 65_691, 3_372, 844), 123),
        ("assist0910-xiong", "0910_c_train", "0910_c_test", (222_753, 52_423, 3_372, 844), 145),
    ],
)
def test_three_line_folds_have_the_published_counts(
    data_folder: Path,
    tmp_path: Path,
    folder: str,
    train: str,
    test: str,
    counts: tuple[int, int, int, int],
    skills: int,
) -> None:
    home = data_folder / folder
    outcome = ingest_uris(tmp_path, [str(home / f"{train}.csv.gz")], test_uris=[str(home / f"{test}.csv.gz")])
    in_test = outcome.interactions.join(outcome.students, on="student")["declared_split"] == "test"
    held = outcome.students["declared_split"].drop_nulls().len()
    rows = (outcome.logs.rows - int(in_test.sum()), int(in_test.sum()))
    assert (*rows, outcome.logs.students - held, held) == counts
    assert (outcome.logs.skills, outcome.logs.quarantined, outcome.logs.layout) == (skills, 0, "sequences3")


@pytest.mark.parametrize(("name", "share"), [("assist2009_updated", 0.658), ("assist2015", 0.732)])
def test_shares_of_right_answers_are_the_published_ones(
    data_folder: Path, tmp_path: Path, name: str, share: float
) -> None:
    paths = [str(data_folder / name / f"{name}_{part}.csv.gz") for part in ("train", "test")]
    assert ingest_uris(tmp_path, paths).interactions["correct"].cast(pl.Float64).mean() == pytest.approx(
        share, abs=5e-4
    )


def greedy(items: list[str], skills: list[str], answers: list[str]) -> list[tuple[str, list[str], int]]:
    """Merge neighbours of one problem with one answer and ever new skills, one by one."""
    merged: list[tuple[str, list[str], int]] = []
    for item, skill, answer in zip(items, skills, answers, strict=True):
        if merged and merged[-1][0] == item and merged[-1][2] == int(answer) and skill not in merged[-1][1]:
            merged[-1][1].append(skill)
        else:
            merged.append((item, [skill], int(answer)))
    return [(item, sorted(names), answer) for item, names, answer in merged]


def test_four_line_folds_are_merged_as_one_by_one(data_folder: Path, tmp_path: Path) -> None:
    home = data_folder / "assist2009_pid"
    train, test = home / "assist2009_pid_train1.csv.gz", home / "assist2009_pid_test1.csv.gz"
    outcome = ingest_uris(tmp_path, [str(train)], test_uris=[str(test)])
    expected: dict[str, list[tuple[str, list[str], int]]] = {}
    rows_in = 0
    for path in (train, test):
        lines = lines_of(path)
        for at in range(0, len(lines), 4):
            student = KEY.mac(b"student\0" + lines[at].split(",")[1].encode())[:16].hex()
            values = [line.split(",") for line in lines[at + 1 : at + 4]]
            rows_in += len(values[0])
            expected[student] = greedy(*values)
    found: dict[str, list[tuple[str, list[str], int]]] = {}
    columns = outcome.interactions.select("student", "item", "correct").iter_rows()
    for (student, item, correct), skills in zip(columns, outcome.skills, strict=True):
        found.setdefault(student, []).append((item, skills, correct))
    assert found == expected
    assert (outcome.logs.students, outcome.report["students_in_test_files"]) == (2_491 + 830, 830)
    assert outcome.report["rows_in"] == rows_in == outcome.logs.rows + outcome.report["rows_merged"]


def test_all_students_of_the_four_line_folds(data_folder: Path, tmp_path: Path) -> None:
    home = data_folder / "assist2009_pid"
    # the validation file of fold 1 is test2
    names = ("train1", "test1", "test2")
    paths = [str(home / f"assist2009_pid_{name}.csv.gz") for name in names]
    outcome = ingest_uris(tmp_path, paths, IngestConfig(protocol="row_per_skill"))
    assert outcome.logs.students == 4_151
    assert outcome.logs.skills == 110
    assert outcome.logs.rows == pytest.approx(325_600, abs=100)


@pytest.mark.parametrize(
    ("raw", "exam", "rows", "students"),
    [
        ("final-time", "final", (138_128, 136_288, 1_808, 32), (1_639, 24, 4)),
        ("midterm-time", "mid", (109_444, 107_025, 2_384, 35), (1_575, 29, 5)),
    ],
)
def test_cleaning_exams_gives_exactly_the_published_files(
    data_folder: Path,
    tmp_path: Path,
    raw: str,
    exam: str,
    rows: tuple[int, int, int, int],
    students: tuple[int, int, int],
) -> None:
    home = data_folder / "exam-time"
    source = lines_of(home / f"{raw}.tsv.gz")
    outcome = ingest_uris(tmp_path, [str(home / f"{raw}.tsv.gz")])

    def published(name: str) -> Counter[str]:
        path = home / f"{name}_time_{exam}.tsv"
        return Counter(lines_of(path if path.exists() else path.with_suffix(".tsv.gz"))[1:])

    def taken(numbers: pl.Series) -> Counter[str]:
        return Counter(source[n - 1] for n in numbers)

    negative = outcome.quarantine.filter(pl.col("reason") == "student_with_negative_time")["row"]
    incomplete = outcome.quarantine.filter(pl.col("reason") == "student_incomplete")["row"]
    clean = outcome.interactions["row"]
    assert (outcome.report["rows_in"], len(clean), len(negative), len(incomplete)) == rows
    assert taken(clean) == published("clean")
    assert taken(negative) == published("corrupted")
    assert taken(incomplete) == published("incomplete")
    counts = tuple(len({source[n - 1].split("\t")[1] for n in rows}) for rows in (clean, negative, incomplete))
    assert counts == students
    again = ingest_uris(tmp_path / "clean", [str(home / f"clean_time_{exam}.tsv.gz")])
    assert (again.logs.rows, again.logs.quarantined) == (rows[1], 0)
    # the authors kept the rows that occur twice: 1 in the final, 2 in the midterm
    twice = {"final": 1, "mid": 2}[exam]
    assert (again.report["rows_duplicate"], again.report["possible_duplicates"]) == (0, twice)


def test_algebra_has_its_counts_and_times(data_folder: Path, tmp_path: Path) -> None:
    outcome = ingest_uris(tmp_path, [str(data_folder / "algebra05-timed" / "preprocessed_data_test.csv.gz")])
    logs = outcome.logs
    assert (logs.rows, logs.students, logs.items, logs.skills, logs.quarantined) == (129_998, 114, 48_080, 258, 0)
    assert outcome.report["time"] == {"first_ms": 53_000, "last_ms": 24_281_932_000}
    assert outcome.interactions["correct"].cast(pl.Float64).mean() == pytest.approx(0.754, abs=5e-4)
    lengths = outcome.interactions.group_by("student").len()["len"]
    # the published median of the 114 lengths is the upper of the middle two
    assert (lengths.min(), lengths.max(), sorted(lengths)[len(lengths) // 2]) == (12, 7_021, 649)
    # times never decrease within a user of the source, so its order stays
    for _, own in outcome.interactions.group_by("student"):
        assert own["row"].is_sorted()


def test_long_assistments_has_no_times_and_keeps_repeats(data_folder: Path, tmp_path: Path) -> None:
    home = data_folder / "assistments09-long"
    outcome: Outcome = ingest_uris(
        tmp_path,
        [str(home / "preprocessed_data_train.csv.gz")],
        test_uris=[str(home / "preprocessed_data_test.csv")],
    )
    assert (outcome.logs.rows, outcome.logs.students) == (278_336, 3_114)
    assert outcome.report["students_in_test_files"] == 623
    assert outcome.report["time"] is None
    # the published counts of rows that repeat another; no student is in both files
    assert (outcome.report["rows_duplicate"], outcome.report["possible_duplicates"]) == (0, 2_273 + 657)
    assert outcome.logs.skills == 149
    assert [f["rows_in"] for f in outcome.report["files"] if f["role"] == "test"] == [58_266]
