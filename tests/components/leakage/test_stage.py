"""The stage of student logs: leaks planted into a preprocessed dataset are found exactly, and stop the run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.artifacts import LeakageReport, Lineage, SequenceDataset, StudentLogs
from components.errors import GateStoppedError, SchemaError
from components.leakage.config import LeakageConfig
from components.leakage.stage import leakage
from components.preprocess.config import PreprocessConfig
from components.preprocess.layout import write_dataset
from components.preprocess.split import split_of_students
from components.schema import INTERACTIONS, SKILL_SETS, STUDENTS
from components.stage import PENDING, Runner, StageEvent
from components.store import Store
from flows.knowledge_tracing.encode import KnowledgeTracingEncoder

COUNT, STEPS = 60, 70
Spoil = Callable[[Path], None]


def write_logs(folder: Path, *, copies: dict[int, int] | None = None) -> None:
    """Write logs of 60 students; `copies`: student -> whose answers are theirs."""
    source = np.random.default_rng(4)
    frames = []
    for s in range(COUNT):
        frames.append(
            pl.DataFrame(
                {
                    "student": [f"{s:032x}"] * STEPS,
                    "position": np.arange(STEPS, dtype=np.uint32),
                    "item": [f"i{n}" for n in source.integers(0, 30, STEPS)],
                    "skill_set": source.integers(0, 3, STEPS).astype(np.uint32),
                    "correct": (source.random(STEPS) < 0.6).astype(np.int8),
                    "score": pl.Series([None] * STEPS, dtype=pl.Float32),
                    "time_ms": np.sort(source.integers(0, 10**9, STEPS)) * 2,
                }
            )
        )
    for copy, of in (copies or {}).items():
        frames[copy] = frames[of].with_columns(student=pl.lit(f"{copy:032x}"))
    folder.mkdir()
    pl.concat(frames).write_parquet(folder / INTERACTIONS)
    pl.DataFrame({"skill_set": [0, 1, 2], "skills": [["a"], ["b"], ["c"]]}, schema_overrides={"skill_set": pl.UInt32}
    ).write_parquet(folder / SKILL_SETS)  # fmt: skip
    names = [f"{s:032x}" for s in range(COUNT)]
    pl.DataFrame({"student": names, "declared_split": [None] * COUNT}, schema_overrides={"declared_split": pl.String}
    ).write_parquet(folder / STUDENTS)  # fmt: skip


class Bench:
    """A store with logs and a dataset of them, spoilt or not."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "store")
        self.said: list[str] = []
        self.events: list[StageEvent] = []
        self.run = Runner(self.store, observe=self.events.append, say=self.said.append)

    def published(
        self,
        spoil: Spoil = lambda folder: None,
        *,
        protocol: str = "problem",
        split: str = "student",
        copies: dict[int, int] | None = None,
    ) -> tuple[StudentLogs, SequenceDataset]:
        """Publish logs, and their dataset after `spoil` was at its folder."""
        write_logs(self.folder / "logs", copies=copies)
        (self.folder / "data").mkdir()
        config = PreprocessConfig(split=split, valid_share=0.2, test_share=0.2, max_len_steps=40)  # type: ignore[arg-type]  # one of the two
        layout = write_dataset(self.folder / "logs", self.folder / "data", KnowledgeTracingEncoder(), config)
        (self.folder / "data" / "codec.json").write_text(json.dumps(layout.codec))
        spoil(self.folder / "data")
        logs = StudentLogs(
            ref=PENDING, lineage=Lineage(stage="ingest"), rows=COUNT * STEPS, students=COUNT, items=30, skills=3,
            quarantined=0, layout="tests", protocol=protocol, pseudonym_key_id="0" * 16,
        )  # fmt: skip
        data = SequenceDataset(
            ref=PENDING, lineage=Lineage(stage="preprocess"), application="tests", steps=layout.steps,
            windows=layout.windows, students=layout.students, max_len_steps=40, arrays=layout.arrays, protocol=protocol,
            split=split, begins_ms=layout.begins_ms or (),
        )  # fmt: skip
        return self.store.publish(logs, self.folder / "logs"), self.store.publish(data, self.folder / "data")

    def report(self, found: LeakageReport) -> dict[str, Any]:  # Any: parsed JSON
        report: dict[str, Any] = json.loads((self.store.folder(found) / "leakage.json").read_text())
        return report


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


FLAG = LeakageConfig(on_fail="flag")


def test_a_clean_dataset_passes_and_is_looked_at_once(bench: Bench) -> None:
    logs, data = bench.published()
    found = bench.run(leakage, logs, data, LeakageConfig())
    assert isinstance(found, LeakageReport)
    assert (found.verdict, found.reasons) == ("pass", ())
    report = bench.report(found)
    assert [f["measure"] for f in report["findings"]] == [
        "students_in_several_splits",
        "answers_out_of_order",
        "copied_student_share",
        "repeated_problem_share",
    ]
    assert {f["outcome"] for f in report["findings"]} == {"pass"}
    assert report["checks"]["students"]["students"] == dict(data.students)
    assert report["checks"]["protocol"]["protocol"] == "problem"
    assert bench.run(leakage, logs, data, LeakageConfig()).sha256 == found.sha256
    assert [e.status for e in bench.events] == ["started", "finished", "skipped"]


def test_a_training_student_in_the_test_split_stops_the_run_with_the_report_in_the_store(bench: Bench) -> None:
    def spoil(folder: Path) -> None:
        own = np.load(folder / "test" / "window_student.npy")
        train = np.load(folder / "train" / "window_student.npy")
        # windows of the first two test students become those of the first training student
        own[np.isin(own, np.unique(own)[:2])] = train[0]
        np.save(folder / "test" / "window_student.npy", own)

    logs, data = bench.published(spoil)
    with pytest.raises(GateStoppedError, match=r"1 of \d+ students are in more than one split") as caught:
        bench.run(leakage, logs, data, LeakageConfig())
    assert caught.value.exit_code == 6
    assert f"{0:032x}"[:8] not in str(caught.value)
    found = bench.run(leakage, logs, data, FLAG)
    assert found.verdict == "fail"
    report = bench.report(found)
    assert report["checks"]["students"]["shared"] == {"train & valid": 0, "train & test": 1, "valid & test": 0}
    # their answers then stand there twice in the order of one student
    assert report["checks"]["time"]["out_of_order"]["test"] >= 1
    assert any(line.startswith("leakage: 1 of") for line in bench.said)


def test_answers_turned_round_are_counted(bench: Bench) -> None:
    def spoil(folder: Path) -> None:
        position = np.load(folder / "valid" / "position.npy")
        position[[3, 4]] = position[[4, 3]]
        np.save(folder / "valid" / "position.npy", position)

    logs, data = bench.published(spoil)
    report = bench.report(bench.run(leakage, logs, data, FLAG))
    assert report["checks"]["time"]["out_of_order"] == {"train": 0, "valid": 1, "test": 0}
    assert report["verdict"] == "fail"


def test_a_split_by_time_is_judged_by_its_times(bench: Bench) -> None:
    logs, data = bench.published(split="time")
    found = bench.run(leakage, logs, data, LeakageConfig())
    report = bench.report(found)
    assert found.verdict == "pass"
    assert report["checks"]["time"]["wrong_side"] == {"train": 0, "valid": 0, "test": 0}
    assert report["checks"]["students"]["in_several"] == COUNT  # all go on


def test_training_that_goes_on_after_validation_begins_is_counted(tmp_path: Path) -> None:
    moved = 5

    def spoil(folder: Path) -> None:
        position = np.load(folder / "train" / "position.npy")
        ends = np.flatnonzero(np.append(position[1:] == 0, True))[:moved]
        position[ends] = STEPS - 1  # each student's very last answer, which lies in the test split
        np.save(folder / "train" / "position.npy", position)

    bench = Bench(tmp_path)
    logs, data = bench.published(spoil, split="time")
    with pytest.raises(GateStoppedError, match="5 answers of train"):
        bench.run(leakage, logs, data, LeakageConfig())


def test_one_student_under_two_ids_is_a_warning_or_stops(bench: Bench) -> None:
    names = [f"{s:032x}" for s in range(COUNT)]
    side = split_of_students(names, [None] * COUNT, valid_share=0.2, test_share=0.2, seed=0)
    train, test = np.flatnonzero(side == 0), np.flatnonzero(side == 2)
    logs, data = bench.published(copies={int(test[0]): int(train[0]), int(train[2]): int(train[1])})
    found = bench.run(leakage, logs, data, LeakageConfig())
    assert found.verdict == "warn"
    its = bench.report(found)["checks"]["sequences"]
    assert its["crossing"] == {"train & valid": 0, "train & test": 1, "valid & test": 0}
    assert (its["students"], its["pairs"], its["with_same_times"], its["copied"]) == (4, 2, 2, 1)
    with pytest.raises(GateStoppedError, match=r"1 of \d+ held-out students have, answer by answer"):
        bench.run(leakage, logs, data, LeakageConfig(copies="stop"))


def test_rows_that_show_the_next_answer_are_counted_and_named(bench: Bench) -> None:
    logs, data = bench.published(protocol="row_per_skill")
    found = bench.run(leakage, logs, data, LeakageConfig())
    report = bench.report(found)
    assert found.verdict == "warn"
    items = pl.read_parquet(bench.store.folder(logs) / INTERACTIONS)["item"].to_list()
    names = pl.read_parquet(bench.store.folder(data) / STUDENTS)["student"].to_list()
    expected = 0
    for name in ("train", "valid", "test"):
        folder = bench.store.folder(data) / name
        own = [names[w] for w in np.load(folder / "window_student.npy")[::2]]  # 40 and 30 of 70 answers
        answers = [[items[int(student, 16) * STEPS + n] for n in range(STEPS)] for student in own]
        # a window's first is not scored
        repeats = sum(its[n] == its[n - 1] for its in answers for n in range(STEPS) if n not in {0, 40})
        assert report["checks"]["protocol"]["splits"][name] == {"scored": 68 * len(own), "repeats": repeats}
        expected += repeats
    share = report["findings"][-1]
    assert share["value"] == pytest.approx(expected / share["n"])
    assert expected > 0
    assert "row_per_skill" in share["reason"]


def test_without_problem_ids_nobody_can_tell(bench: Bench) -> None:
    logs, data = bench.published(protocol="row_as_given")
    found = bench.run(leakage, logs, data, LeakageConfig())
    assert (found.verdict, bench.report(found)["findings"][-1]["value"]) == ("warn", None)


def test_logs_of_another_dataset_are_refused(bench: Bench) -> None:
    def spoil(folder: Path) -> None:
        pl.read_parquet(folder / STUDENTS).reverse().write_parquet(folder / STUDENTS)

    logs, data = bench.published(spoil)
    with pytest.raises(SchemaError, match="Give the logs that the dataset was made from"):
        bench.run(leakage, logs, data, LeakageConfig())
