"""The simulate stage: what it writes, that the same seed gives the same bytes, and that ingest reads it whole."""

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import polars as pl
import pytest

from components.artifacts import SimulatedLogs
from components.config import make_config
from components.errors import ConfigError
from components.simulate.config import SimulateConfig, SimulatedGroup
from components.simulate.stage import simulate
from components.stage import Runner
from components.store import Store
from tests.components.ingest.running import ingest_uris

SMALL = SimulateConfig(students=60, items=30, skills=6, answers_max=30, seed=7)


def simulated(folder: Path, config: SimulateConfig = SMALL) -> tuple[SimulatedLogs, Path]:
    store = Store(folder)
    logs = Runner(store)(simulate, config)
    return logs, store.folder(logs)


def test_files_have_the_layout_of_a_source_and_the_truth_apart(tmp_path: Path) -> None:
    logs, folder = simulated(tmp_path)
    answers, truth = pl.read_parquet(folder / "answers.parquet"), pl.read_parquet(folder / "truth.parquet")
    assert answers.columns == [
        "student",
        "item",
        "skills",
        "correct",
        "time",
        "response_time",
        "attempt",
        "group_group",
    ]
    assert (logs.rows, logs.students) == (answers.height, 60)
    assert truth["student"].equals(answers["student"])
    assert truth["probability"].is_between(0, 1).all()
    assert truth["probability_recorded"].equals(truth["probability"].alias("probability_recorded"))
    parameters = json.loads((folder / "truth.json").read_text())
    assert len(parameters["ability"]) == 60
    assert parameters["config"]["seed"] == 7
    by_item = dict(zip(answers["item"], answers["skills"], strict=True))
    for item, skills in by_item.items():
        drawn = parameters["item_skills"][int(item.removeprefix("item-")) - 1]
        assert skills.split(";") == sorted(f"skill-{k + 1}" for k in drawn)


def test_recorded_probabilities_count_the_noise(tmp_path: Path) -> None:
    groups = (SimulatedGroup(name="x", share=0.5, label_noise=0.2), SimulatedGroup(name="y", share=0.5))
    _, folder = simulated(tmp_path, SimulateConfig(students=40, groups=groups, group_attribute="home"))
    truth = pl.read_parquet(folder / "truth.parquet")
    is_x = pl.read_parquet(folder / "answers.parquet")["group_home"] == "x"
    p = truth["probability"].to_numpy()
    expected = pl.Series(p * 0.8 + (1 - p) * 0.2).zip_with(is_x, truth["probability"])
    assert (truth["probability_recorded"] - expected).abs().max() == pytest.approx(0, abs=1e-12)


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    logs, _ = simulated(tmp_path / "here")
    code = (
        "import sys; from pathlib import Path; from tests.components.simulate.test_stage import simulated;"
        "print(simulated(Path(sys.argv[1]))[0].sha256)"
    )
    done = run([sys.executable, "-c", code, str(tmp_path / "there")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == logs.sha256
    other, _ = simulated(tmp_path / "here", SimulateConfig(students=60, items=30, skills=6, answers_max=30, seed=8))
    assert other.sha256 != logs.sha256


def test_ingest_keeps_every_simulated_answer(tmp_path: Path) -> None:
    logs, folder = simulated(tmp_path)
    outcome = ingest_uris(tmp_path / "ingested", [str(folder / "answers.parquet")])
    assert outcome.logs.layout == "homeroom"
    assert (outcome.logs.rows, outcome.logs.quarantined) == (logs.rows, 0)
    assert (outcome.logs.students, outcome.logs.groups) == (60, ("group",))
    assert outcome.students["group"].value_counts().sort("group").rows() == [("a", 36), ("b", 24)]
    source = pl.read_parquet(folder / "answers.parquet")
    back = source[outcome.interactions["row"].cast(pl.Int64) - 1]
    assert back["item"].equals(outcome.interactions["item"])
    assert back["time"].equals(outcome.interactions["time_ms"].alias("time"))
    assert back["correct"].equals(outcome.interactions["correct"])


def test_groups_can_be_left_out(tmp_path: Path) -> None:
    _, folder = simulated(tmp_path, SimulateConfig(students=5, groups=()))
    assert not [c for c in pl.read_parquet_schema(folder / "answers.parquet") if c.startswith("group_")]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"students": 0}, "students is 0; expected at least 1"),
        ({"items": 3, "skills": 4}, "items is 3 for 4 skills"),
        ({"answers_min": 9, "answers_max": 8}, "answers_max is 8, below answers_min 9"),
        ({"guess": 0.6, "slip": 0.5, "groups": []}, "guess . slip is 1.1; expected below 1"),
        ({"seed": -1}, "seed is -1"),
        ({"learning": 4.0}, "learning is 4.0, above learning_ceiling"),
        ({"forgetting_per_day": 1.0}, "forgetting_per_day is 1.0"),
        ({"ability_sd": float("nan")}, "ability_sd = nan: expected a finite number"),
        ({"groups": [{"name": "a", "share": 0.5}]}, "shares add up to 0.5; expected 1"),
        ({"groups": [{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}]}, "repeats a name"),
        ({"groups": [{"name": "a", "share": 1.0, "extra_slip": 0.9}]}, "group 'a' has slip"),
        ({"groups": [{"name": "a", "share": 1.0, "label_noise": 0.6}]}, "label_noise is 0.6; expected 0 to 0.5"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_config(SimulateConfig, values)
