"""The standing test for leaks: answers replaced by coin flips must be unpredictable on the whole real path.

One coin is thrown for each problem that a student meets; where the problem has several skills, the source has a row per
skill, all with this coin. The default protocol merges these rows and AUC is 0.50. With a row per skill, the row before
shows the coin: the same run then has to show the leak, so the test itself is tested, and lose it without repeats.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.secrets import SecretKey, write_key
from components.simulate.config import SimulateConfig
from components.simulate.model import simulate_answers
from flows.settings import Settings
from flows.stages import collect, evaluate, ingest, open_application, preprocess, train

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

CHANCE = pytest.approx(0.5, abs=0.015)
LEARNED = ("pfa", "best_lr")
"""Baselines that could use a leak; the skill means know no earlier row of the student."""


@dataclass(frozen=True)
class Record:
    """One student's rows: a row per skill of each problem met."""

    items: list[str]
    skills: list[str]


def coin_flips(records: Iterable[Record], path: Path, seed: int) -> Path:
    """Write four lines per student, with a coin for each problem met as the answer of all its rows."""
    source = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as stream:
        for number, record in enumerate(records):
            answers: list[str] = []
            met: set[str] = set()
            for row, (item, skill) in enumerate(zip(record.items, record.skills, strict=True)):
                if not row or item != record.items[row - 1] or skill in met:  # a skill that comes again: met once more
                    coin, met = str(source.integers(2)), set()
                met.add(skill)
                answers.append(coin)
            lines = [f"{number},{path.stem}{number}", *(",".join(v) for v in (record.items, record.skills, answers))]
            stream.write("\n".join(lines) + "\n")
    return path


def published_records(path: Path) -> Iterator[Record]:
    """Yield the students of a published file of four lines each."""
    with gzip.open(path, "rt") as stream:
        lines = [line.strip().removesuffix(",") for line in stream]
    for items, skills in zip(lines[1::4], lines[2::4], strict=True):
        yield Record(items.split(","), skills.split(","))


def simulated_records(students: int, seed: int) -> Iterator[Record]:
    """Yield simulated students, who meet problems with one to three skills."""
    found = simulate_answers(SimulateConfig(students=students, items=150, groups=(), seed=seed))
    order = np.lexsort((found.time_ms, found.student))
    of = found.student[order]
    for items in np.split(found.item[order], np.flatnonzero(np.diff(of)) + 1):
        rows = [(str(item), str(k)) for item in items.tolist() for k in found.items.skills_IK[item].tolist() if k >= 0]
        yield Record([item for item, _ in rows], [skill for _, skill in rows])


def evaluated(home: Path, logs: Path, test_logs: Path, protocol: str) -> dict[str, Any]:
    """Return `metrics.json` after ingest, preprocess, train and evaluate."""
    write_key(home / "keys" / "pseudonym.key", SecretKey(bytes(range(32))))
    settings = Settings(store=str(home / "store"), cache=home / "cache", keys=home / "keys")
    overrides = [f"ingest.protocol={protocol}", "train.max_epochs=3", "train.model.width=64", "train.model.hidden=64"]
    run, config = open_application("knowledge_tracing", "small", overrides, settings=settings)
    logged = run(ingest, collect(run.store, [str(logs)], [str(test_logs)]), config.ingest)
    assert logged.quarantined == 0
    dataset = run(preprocess, logged, config.preprocess)
    found = run(evaluate, dataset, run(train, dataset, config.train), config.evaluate)
    report: dict[str, Any] = json.loads((run.store.folder(found) / "metrics.json").read_text())
    print(f"\n{protocol}: {report['counts']['scored']} rows, AUC {aucs(report)}")
    if report["without_repeats"]:
        rows = report["without_repeats"]
        print(f"without repeats: {rows['counts']['scored']} rows, AUC {aucs(rows)}")
    return report


def aucs(rows: dict[str, Any]) -> dict[str, float]:
    """Return the AUC of the model and of the baselines that learn from earlier rows."""
    baselines = {name: rows["baselines"][name]["metrics"]["auc"] for name in LEARNED}
    return {"model": rows["metrics"]["auc"], **baselines}


def check_no_leak(report: dict[str, Any]) -> None:
    """The default protocol: chance for everything, and the report says that the model is no better."""
    assert report["protocol"] == "problem"
    assert report["counts"]["scored"] >= 20_000
    assert aucs(report) == {"model": CHANCE, "pfa": CHANCE, "best_lr": CHANCE}
    assert report["repeats"]["scored"] == 0


def check_leak_shows(report: dict[str, Any]) -> None:
    """The old protocol: the leak is seen over all rows, and is gone without repeats."""
    assert report["protocol"] == "row_per_skill"
    rows = report["without_repeats"]
    assert rows["counts"]["scored"] >= 20_000
    assert aucs(report)["model"] > 0.55
    assert aucs(report)["best_lr"] > 0.55
    assert aucs(rows) == {"model": CHANCE, "pfa": CHANCE, "best_lr": CHANCE}
    assert "row_per_skill" in " ".join(report["warnings"])


@pytest.mark.parametrize("protocol", ["row_per_skill", pytest.param("problem", marks=pytest.mark.soak)])
def test_coin_flips_of_simulated_students_are_unpredictable(protocol: str, tmp_path: Path) -> None:
    logs = coin_flips(simulated_records(300, seed=1), tmp_path / "train.csv", seed=2)
    test_logs = coin_flips(simulated_records(450, seed=3), tmp_path / "test.csv", seed=4)
    report = evaluated(tmp_path, logs, test_logs, protocol)
    (check_no_leak if protocol == "problem" else check_leak_shows)(report)


@pytest.mark.soak
@pytest.mark.data
@pytest.mark.parametrize("protocol", ["problem", pytest.param("row_per_skill", marks=pytest.mark.soak)])
def test_coin_flips_of_real_students_are_unpredictable(protocol: str, data_folder: Path, tmp_path: Path) -> None:
    folder = data_folder / "assist2009_pid"
    taught = coin_flips(published_records(folder / "assist2009_pid_train1.csv.gz"), tmp_path / "train.csv", seed=5)
    held = coin_flips(published_records(folder / "assist2009_pid_test1.csv.gz"), tmp_path / "test.csv", seed=6)
    report = evaluated(tmp_path, taught, held, protocol)
    (check_no_leak if protocol == "problem" else check_leak_shows)(report)
