"""What the checks find in published data: ASAP-AES essays, ASSISTments 2009, and Algebra I split by time."""

import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.writing_sets import read_asap_aes, write_scored
from components.artifacts import SequenceDataset, StudentLogs
from components.config import make_config
from components.ingest.config import IngestConfig
from components.leakage.config import LeakageConfig
from components.leakage.findings import Check
from components.leakage.sequences import check_sequences
from components.preprocess.config import PreprocessConfig
from components.preprocess.stage import preprocess
from components.stage import Runner
from components.store import Store
from components.writing.leakage.config import WritingLeakageConfig
from components.writing.leakage.responses import check_responses
from components.writing.schema import RESPONSES
from flows.knowledge_tracing.app import APP
from tests.components.ingest.running import ingest_uris

pytestmark = pytest.mark.data


def test_the_published_folds_of_asap_share_few_texts(data_folder: Path, tmp_path: Path) -> None:
    essays, folds = read_asap_aes(data_folder)
    (tmp_path / "source").mkdir()
    (tmp_path / "dataset").mkdir()
    write_scored(essays, folds[0], tmp_path / "source")
    rows = pl.read_parquet(tmp_path / "source" / RESPONSES)
    rows.rename({"declared_split": "split"}).drop("text").write_parquet(tmp_path / "dataset" / RESPONSES)
    clock = time.process_time()
    checks = check_responses(tmp_path / "source", tmp_path / "dataset", "scored_writing", WritingLeakageConfig())
    cost = time.process_time() - clock
    texts = by_name(checks)["texts"]
    print(f"\n{rows.height} essays, {cost:.1f} CPU s: {texts.figures['pairs']}, {texts.figures['held_out']}")
    assert rows.height == 12_978
    assert cost < 20.0  # 3 s on an idle core
    assert texts.figures["complete"] is True
    expected = same_pairs(rows)
    assert sum(expected.values()) > 0
    assert texts.figures["pairs"]["same"] == expected  # type: ignore[index,call-overload]  # a dict
    assert [f.outcome for f in texts.findings] == ["pass"]  # far below one in a hundred


def same_pairs(rows: pl.DataFrame) -> dict[str, int]:
    """Return the pairs of equal essays by their letters and digits, in another way than the check's."""
    found = {"train & valid": 0, "train & test": 0, "valid & test": 0}
    seen: dict[tuple[str, str], list[str]] = {}
    for prompt, text, split in rows.select("prompt", "text", "declared_split").iter_rows():
        words = "".join(c.lower() if c.isalnum() else " " for c in text).split()
        for other in seen.setdefault((prompt, " ".join(words)), []):
            pair = next((key for key in found if {split, other} == set(key.split(" & "))), None)
            if pair is not None:
                found[pair] += 1
        seen[prompt, " ".join(words)].append(split)
    return found


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def checked(
    folder: Path, train: Path, tests: Path | None = None, *, protocol: str = "", split: str = "student"
) -> tuple[StudentLogs, SequenceDataset, dict[str, Check]]:
    """Ingest, preprocess, and look for leaks."""
    config = make_config(IngestConfig, {"protocol": protocol} if protocol else {})
    outcome = ingest_uris(folder, [str(train)], config, [str(tests)] if tests else [])
    store = Store(folder / "store")
    settings: dict[str, Any] = {"split": split}  # Any: the settings' own types
    run = Runner(store, APP)
    data = run(preprocess, outcome.logs, PreprocessConfig(**settings))
    clock = time.process_time()
    checks = check_sequences(outcome.folder, store.folder(data), data, LeakageConfig())
    print(f"\n{train.parent.name}: {outcome.logs.rows} answers, {time.process_time() - clock:.2f} CPU s")
    return outcome.logs, data, by_name(checks)


def test_one_row_in_seven_of_assistments_repeats_the_problem_before(data_folder: Path, tmp_path: Path) -> None:
    folder = data_folder / "assist2009_pid"
    logs, data, found = checked(
        tmp_path,
        folder / "assist2009_pid_train1.csv.gz",
        folder / "assist2009_pid_test1.csv.gz",
        protocol="row_per_skill",
    )
    # what a reading of the file itself gives for this test file (its note: 14.8 % of predicted rows)
    test = found["protocol"].figures["splits"]["test"]  # type: ignore[index,call-overload]  # a dict
    assert test["repeats"] / test["scored"] == pytest.approx(0.148, abs=0.002)  # type: ignore[index,call-overload,operator]  # numbers
    assert found["protocol"].findings[0].outcome == "warn"
    assert found["students"].findings[0].value == 0
    assert found["sequences"].figures["pairs"] == 0
    assert (data.protocol, logs.protocol) == ("row_per_skill", "row_per_skill")


def test_algebra_split_by_time_keeps_its_order(data_folder: Path, tmp_path: Path) -> None:
    _, _, found = checked(tmp_path, data_folder / "algebra05-timed" / "preprocessed_data_test.csv.gz", split="time")
    assert [f.outcome for f in found["time"].findings] == ["pass", "pass"]
    assert found["time"].figures["with_time"] == found["time"].figures["answers"]
    assert found["students"].figures["in_several"] == 87  # students who answer in two of the three spans
