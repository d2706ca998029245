"""The command line: help that teaches, errors that help, and exit codes."""

import importlib
import json
from pathlib import Path

import click
import polars as pl
import pytest
from click.testing import CliRunner

from components.errors import ConfigError, StoreError
from flows.__main__ import COMMANDS, cli, main
from flows.cli.options import check_local_files
from flows.cli.progress import Progress
from flows.outputs import check_output


def test_the_table_and_the_commands_say_the_same() -> None:
    for name, (target, line) in COMMANDS.items():
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        assert command.name == name
        assert command.help, f"{name} has no help"
        assert line.endswith(".")


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"apps", "doctor", "demo"}))
def test_help_shows_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert f"homeroom {name}" in result.output


def test_apps_lists_knowledge_tracing_with_its_configurations() -> None:
    result = CliRunner().invoke(cli, ["apps"])
    assert "knowledge_tracing" in result.output
    assert "full, small" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "knowledge_tracing"], 2, "--data"),
        (["run", "nothing", "--no-prefect", "--data", "x.csv"], 2, "No application 'nothing'; there are: "),
        (["run", "knowledge_tracing", "--no-prefect", "--data", "x.csv", "--config", "huge"], 2, "full, small"),
        (
            ["run", "knowledge_tracing", "--no-prefect", "--data", "x.csv", "--set", "train.max_epoch=3"],
            2,
            "did you mean 'max_epochs'",
        ),
        (
            ["run", "knowledge_tracing", "--no-prefect", "--data", "x.csv", "--set", "train.max_epochs=0"],
            2,
            "must be at least 1",
        ),
        (["run", "knowledge_tracing", "--data", "x.csv", "--refresh", "trian"], 2, "no stage 'trian'"),
        (["stage", "bake", "knowledge_tracing", "--data", "x.csv"], 2, "no stage 'bake'"),
        (["explain", "train"], 2, "--data"),
        (["lineage", "knowledge_tracing-0123456789ab"], 4, "knowledge_tracing-0123456789ab"),
        (["serve", "nothing-0123456789ab"], 4, "No single release"),
        (
            ["schedule", "knowledge_tracing", "--data", "x", "--cron", "every monday"],
            2,
            "five fields",
        ),
        (
            ["schedule", "knowledge_tracing", "--data", "x", "--cron", "0 3 * * 1", "--timezone", "Europe/Berln"],
            2,
            "IANA name",
        ),
        (["schedule", "knowledge_tracing", "--data", "x", "--cron", "0 3 * * 1"], 2, "PREFECT_API_URL is not set"),
    ],
)
def test_wrong_use_is_told_with_a_remedy(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code
    assert words in capsys.readouterr().err


def test_a_server_that_is_away_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "answers.csv").write_text("student,item,skills,correct\n")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(SystemExit) as ended:
        main(["run", "knowledge_tracing", "--data", str(tmp_path / "answers.csv")])
    assert ended.value.code == 2
    assert "http://127.0.0.1:9/api does not answer" in capsys.readouterr().err


def test_missing_files_are_told_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "knowledge_tracing", "--no-prefect", "--data", "nowhere.csv", "--data", "elsewhere.csv"])
    assert ended.value.code in {3, 4}
    message = capsys.readouterr().err
    assert "nowhere.csv" in message
    assert "elsewhere.csv" in message


@pytest.mark.parametrize("command", ["run", "schedule"])
def test_a_secret_in_an_address_is_neither_recorded_nor_shown(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    address = "s3://AKIAKEY:wJalrSECRET@district/logs"
    extra = ["--cron", "0 3 * * 1"] if command == "schedule" else []
    with pytest.raises(SystemExit) as ended:
        main([command, "knowledge_tracing", "--data", address, *extra])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "secret" in message
    assert "wJalr" not in message
    assert "AKIAKEY" not in message


def test_a_warning_stays_on_a_terminal_whose_bar_moves_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress(("ingest",)) as progress:
        progress.say("reading")
        progress.say("warning: 3 answers are dated in the future")
        progress.say("writing")
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert "warning: 3 answers are dated in the future" in lines


@pytest.mark.parametrize("signal", [KeyboardInterrupt, click.Abort])
def test_an_interrupt_is_one_json_object_too(
    signal: type[BaseException], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise signal

    monkeypatch.setattr("flows.runs.list_runs", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["runs", "--json"])
    assert ended.value.code == 130
    out, err = capsys.readouterr()
    told = json.loads(out)["error"]
    assert (told["kind"], told["exit_code"]) == ("Interrupted", 130)
    assert told["message"] in err
    with pytest.raises(SystemExit) as ended:
        main(["runs"])
    assert ended.value.code == 130
    assert capsys.readouterr().out == ""


def test_a_file_whose_name_looks_like_a_pattern_is_there(tmp_path: Path) -> None:
    (tmp_path / "d[1].csv").write_text("student,item,skills,correct\n")
    check_local_files([str(tmp_path / "d[1].csv"), str(tmp_path / "*.csv")])
    with pytest.raises(StoreError, match=r"1 of the named sources .*\n  - .*d\[2\]\.csv: no such file"):
        check_local_files([str(tmp_path / "d[2].csv")])


@pytest.mark.parametrize("command", ["simulate", "score"])
@pytest.mark.parametrize(
    ("out", "code", "words"),
    [
        ("s3://district/a.parquet", 2, "s3://district/a.parquet is an address; expected a file on this machine"),
        ("file:///tmp/a.parquet", 2, "is an address"),
        ("a.txt", 2, "a.txt ends with '.txt'; expected .parquet"),
        ("a", 2, "ends with ''"),
        ("folder.parquet", 4, "is a folder; expected a file"),
        ("file.csv/a.parquet", 4, "file.csv/a.parquet could not be written (Not a directory)"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(
    command: str,
    out: str,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "file.csv").write_text("older")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main([command, "--out", out, *(["knowledge_tracing", "--data", "file.csv"] if command == "score" else [])])
    assert ended.value.code == code
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("kind", "rows", "column"), [("logs", "answers of 3", "skills"), ("writing", "9 scored texts of 3", "text")]
)
def test_simulate_writes_the_kind_of_data_asked_for(
    kind: str,
    rows: str,
    column: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--kind", kind, "--out", "x.parquet", "--set", "students=3"])
    assert ended.value.code == 0
    assert f"{rows} simulated students in x.parquet" in capsys.readouterr().out
    table = pl.read_parquet(tmp_path / "x.parquet")
    assert table["student"].n_unique() == 3
    assert column in table.columns


def test_simulate_writes_parquet_under_no_other_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--out", "x.csv", "--set", "students=3"])
    assert ended.value.code == 2
    assert "expected .parquet. Rename it." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--out", "new/x.parquet", "--set", "students=3"])
    assert ended.value.code == 0
    assert (tmp_path / "new" / "x.parquet").read_bytes().startswith(b"PAR1")


def test_what_is_left_of_an_address_in_a_path_is_an_address_still() -> None:
    with pytest.raises(ConfigError, match="is an address"):
        check_output(Path("s3://district/a.parquet"), (".parquet",))
    assert check_output(Path("C:a.parquet"), (".parquet",)) == Path("C:a.parquet")


@pytest.mark.parametrize(
    ("data", "out"),
    [
        ("a.csv", "a.csv"),
        ("a.csv", "deep/../a.csv"),
        (".", "deep/b.csv"),
        ("*.csv", "a.csv"),
        ("file://{here}/a.csv", "{here}/a.csv"),
        ("a.csv", "link.csv"),
        ("link.csv", "a.csv"),
        ("a.csv", "hard.csv"),
    ],
)
def test_scoring_does_not_overwrite_the_logs_that_it_reads(
    data: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    (tmp_path / "deep").mkdir()
    for name in ("a.csv", "deep/b.csv"):
        (tmp_path / name).write_text(f"student,item,skills,correct\n{name},i,s,1\n")
    (tmp_path / "link.csv").symlink_to("a.csv")
    (tmp_path / "hard.csv").hardlink_to("a.csv")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}
    with pytest.raises(SystemExit) as ended:
        main(["score", "knowledge_tracing", "--data", data.format(here=tmp_path), "--out", out.format(here=tmp_path)])
    assert ended.value.code == 2
    assert "is one of the logs that --data names" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.csv")} == before
    assert not (tmp_path / "store").exists()
