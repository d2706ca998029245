"""`homeroom explain`: the options of its own command line count, it writes nothing, and any folder will do."""

import shutil
from pathlib import Path

import pytest

from components.errors import SchemaError
from flows.__main__ import main
from flows.operations import run_request
from flows.request import RunRequest
from flows.runs import list_runs
from flows.settings import Settings
from tests.conftest import Released


@pytest.fixture
def finished(released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the finished run's store, which the environment names."""
    shutil.copytree(released.untouched, tmp_path / "store")
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HOMEROOM_KEYS", str(released.settings.keys))
    return tmp_path / "store"


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["explain", *arguments])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    return out


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_every_option_given_here_counts_and_nothing_is_written(
    finished: Path, released: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished)
    assert "train: would be skipped" in explained(capsys, "train")
    # of `full`, preprocess has other values than the run's `small`, or train has
    assert "would run" in explained(capsys, "train", "--config", "full")
    assert "train: would be skipped" in explained(capsys, "train", "--config", "small")
    assert "asked for with --refresh" in explained(capsys, "train", "--refresh", "train")
    assert "because ingest before it would run" in explained(capsys, "train", "--refresh", "ingest")
    other = tmp_path / "other.csv"
    other.write_text("student,item,skills,correct\na,i,s,1\n")
    assert "because ingest before it would run" in explained(capsys, "train", "--test-data", str(other))
    assert "because ingest before it would run" in explained(capsys, "train", "--valid-data", str(other))
    assert "ingest: would run" in explained(capsys, "ingest", "--data", str(other))
    assert "max_epochs" in explained(capsys, "train", "--set", "train.max_epochs=7")
    assert contents(finished) == before


@pytest.mark.slow
def test_the_latest_runs_refresh_was_for_that_run(
    finished: Path, released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {**released.summary.request.to_json(), "refresh": ["train"]}
    Settings().open_store().write_record("runs/knowledge_tracing/20990101T000000-ffffff.json", {"request": request})
    assert "train: would be skipped" in explained(capsys, "train")


@pytest.mark.slow
def test_a_relative_path_is_explained_as_the_absolute_one(
    finished: Path,
    released: Released,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a path is called is no part of a stage's key."""
    monkeypatch.chdir(released.logs.parent)
    options = [word for one in released.summary.request.overrides for word in ("--set", one)]
    assert "train: would be skipped" in explained(
        capsys, "train", "knowledge_tracing", "--data", released.logs.name, *options
    )


def test_what_is_recorded_means_the_same_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    (home / "bad.csv").write_text("nothing\nthat is known\n")
    (home / "own.toml").write_text("[train]\nmax_epochs = 1\n")
    store = Settings().open_store()
    with pytest.raises(SchemaError):
        run_request(RunRequest(application="knowledge_tracing", data=("bad.csv",), config="own.toml"), Settings())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (run,) = list_runs(store)
    assert run.status == "failed"
    assert run.command == f"homeroom run knowledge_tracing --data {home}/bad.csv --config {home}/own.toml"


def test_only_local_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    (tmp_path / "small").write_text("a file that is called as a configuration is")
    request = RunRequest(
        application="a",
        data=("x.csv", "logs/*.csv", "s3://district/logs", "/there/y.csv", "~/z.csv"),
        test_data=("t.csv",),
        valid_data=("d[1].csv",),
    ).absolute()
    here = str(tmp_path)
    assert request.data == (
        *(f"{here}/x.csv", f"{here}/logs/*.csv", "s3://district/logs"),
        *("/there/y.csv", "/home/someone/z.csv"),
    )
    assert (request.test_data, request.valid_data, request.config) == (
        (f"{here}/t.csv",),
        (f"{here}/d[1].csv",),
        "small",
    )
    assert request.absolute() == request
