"""Scoring whole files: logs are read as the release's own were, and a half-written file is never left."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from components.app import load_application
from components.errors import ArtifactMissingError, ConfigError, SchemaError, StoreError
from components.ingest.config import ColumnMapping, IngestConfig
from components.stage import StageEvent
from flows.__main__ import main
from flows.operations import run_request
from flows.releases import find_release
from flows.request import RunRequest
from flows.scoring import ingest_config, score_logs
from flows.settings import Settings
from flows.summary import RunSummary
from tests.conftest import Released

pytestmark = pytest.mark.slow

MAPPED = """
[ingest]
protocol = "row_per_skill"
quarantine_limit = 0.25
[ingest.mapping]
student = "Pupil"
item = "Exercise"
skills = "Topics"
skill_separator = "~"
correct = "Solved"
order = "No"
[train]
max_epochs = 1
[evaluate]
resamples = 20
[fairness]
resamples = 20
"""


@pytest.fixture(scope="module")
def mapped(released: Released, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path, RunSummary]:
    """Make a release from a table in a layout of its own, beside the finished run's release."""
    home = tmp_path_factory.mktemp("mapped")
    shutil.copytree(released.settings.store, home / "store")
    settings = Settings(store=str(home / "store"), cache=home / "cache", keys=released.settings.keys)
    table = pl.read_parquet(released.logs).with_row_index("No")
    table.select(
        "No",
        pl.col("student").alias("Pupil"),
        pl.col("item").alias("Exercise"),
        pl.col("skills").str.replace_all(";", "~", literal=True).alias("Topics"),
        pl.col("correct").alias("Solved"),
    ).write_csv(home / "district.csv")
    (home / "mapped.toml").write_text(MAPPED)
    request = RunRequest(
        application="knowledge_tracing", data=(str(home / "district.csv"),), config=str(home / "mapped.toml")
    )
    return settings, home, run_request(request, settings)


def test_logs_are_read_as_the_releases_own_were(mapped: tuple[Settings, Path, RunSummary], tmp_path: Path) -> None:
    settings, home, summary = mapped
    events: list[StageEvent] = []
    version = summary.outcome.release.version
    count = score_logs(
        version, [str(home / "district.csv")], tmp_path / "a.parquet", "all", settings, observe=events.append
    )
    # the same file read the same way is the same artifact: nothing is ingested again
    assert [(e.stage, e.status) for e in events] == [("ingest", "skipped")]
    assert count == summary.outcome.logs.rows
    scores = pl.read_parquet(tmp_path / "a.parquet")
    assert scores.height == count
    assert scores["probability"].is_between(0, 1).all()
    assert scores["release"].unique().to_list() == [version]


def test_the_lineage_gives_the_whole_ingest_configuration(mapped: tuple[Settings, Path, RunSummary]) -> None:
    settings, home, summary = mapped
    store, application = settings.open_store(), load_application("knowledge_tracing")
    release = find_release(store, summary.outcome.release.version)
    expected = IngestConfig(
        mapping=ColumnMapping(
            student="Pupil", item="Exercise", skills="Topics", skill_separator="~", correct="Solved", order="No"
        ),
        protocol="row_per_skill",
        quarantine_limit=0.25,
    )
    assert ingest_config(store, release, application, None, ()) == expected
    assert ingest_config(store, release, application, str(home / "mapped.toml"), ()) == expected
    assert ingest_config(store, release, application, "small", ()) == IngestConfig()
    for config in (None, str(home / "mapped.toml")):
        changed = ingest_config(
            store, release, application, config, ("ingest.quarantine_limit=0.5", 'ingest.mapping.student="Id"')
        )
        assert changed.quarantine_limit == 0.5
        assert changed.mapping is not None
        assert changed.mapping.student == "Id"
        assert changed.mapping.item == "Exercise"
        with pytest.raises(ConfigError, match="quarantine_limit"):
            ingest_config(store, release, application, config, ("ingest.quarantine_limt=0.5",))
        with pytest.raises(ConfigError, match=r"train\.max_epochs=3.* changes nothing here"):
            ingest_config(store, release, application, config, ("train.max_epochs=3",))


def test_another_layout_needs_a_configuration_and_then_gives_the_same_answers(
    mapped: tuple[Settings, Path, RunSummary], released: Released, tmp_path: Path
) -> None:
    settings, home, _ = mapped
    version, data = released.summary.outcome.release.version, [str(home / "district.csv")]
    with pytest.raises(SchemaError):
        score_logs(version, data, tmp_path / "a.parquet", "all", settings)
    assert not list(tmp_path.iterdir())
    score_logs(
        version,
        data,
        tmp_path / "a.parquet",
        "all",
        settings,
        config=str(home / "mapped.toml"),
        overrides=("ingest.protocol=problem",),
    )
    score_logs(version, [str(released.logs)], tmp_path / "b.parquet", "all", settings)
    found, expected = (pl.read_parquet(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert found.equals(expected)


def test_the_command_line_takes_both_options(
    mapped: tuple[Settings, Path, RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, home, summary = mapped
    monkeypatch.setenv("HOMEROOM_STORE", settings.store)
    monkeypatch.setenv("HOMEROOM_KEYS", str(settings.keys))
    version, data = summary.outcome.release.version, str(home / "district.csv")
    out = tmp_path / "new folder" / "answers.csv"
    with pytest.raises(SystemExit) as ended:
        main(
            [
                *("score", version, "--data", data, "--out", str(out), "--which", "last"),
                *("--config", str(home / "mapped.toml"), "--set", "ingest.quarantine_limit=0.5"),
            ]
        )
    assert ended.value.code == 0
    table = pl.read_csv(out)
    assert table.height == summary.outcome.logs.students
    assert table.columns == [
        *("student", "position", "item", "file", "row", "probability"),
        *("flags", "history_shortened", "new_in_history", "release"),
    ]
    with pytest.raises(SystemExit) as ended:
        main(["score", version, "--data", data, "--out", str(out), "--set", "train.max_epochs=3"])
    assert ended.value.code == 2


def test_a_release_without_its_logs_asks_for_a_configuration(released: Released, tmp_path: Path) -> None:
    shutil.copytree(released.settings.store, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "artifacts" / released.summary.outcome.logs.sha256)
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys)
    version, data = released.summary.outcome.release.version, [str(released.logs)]
    with pytest.raises(ArtifactMissingError, match="with --config NAME_OR_TOML"):
        score_logs(version, data, tmp_path / "a.parquet", "last", settings)
    students = score_logs(version, data, tmp_path / "a.parquet", "last", settings, config="small")
    assert students == released.summary.outcome.logs.students


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_failure_leaves_the_older_file_and_nothing_else(
    suffix: str, released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"answers{suffix}"
    out.write_bytes(b"older answers")
    parts: list[Path] = []

    def full_disk(table: pl.DataFrame, target: Path) -> None:
        parts.append(target)
        target.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    monkeypatch.setattr(pl.DataFrame, "write_csv", full_disk)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"No space left on device.* Name another with --out"):
            score_logs(released.summary.outcome.release.version, [str(released.logs)], out, "last", released.settings)
    assert len(set(parts)) == 2, "two writers at once must not share a name"
    assert {p.parent for p in parts} == {tmp_path}
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() == b"older answers"
