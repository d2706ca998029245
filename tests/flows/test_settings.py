"""Where things are: absolute whatever the current folder, never empty, and no secret in any message."""

from pathlib import Path

import pytest

from components.errors import ConfigError, StoreError
from flows.__main__ import main
from flows.settings import Settings


def test_a_home_folder_is_expanded_and_paths_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("HOMEROOM_KEYS", "~/keys")
    monkeypatch.setenv("HOMEROOM_CACHE", "cache")
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert (settings.keys, settings.cache) == (tmp_path / "me" / "keys", tmp_path / "cache")
    first = settings.read_pseudonym_key().id
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Settings().read_pseudonym_key().id == first
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["HOMEROOM_STORE", "HOMEROOM_KEYS", "HOMEROOM_CACHE"])
def test_nothing_is_no_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, " ")
    with pytest.raises(ConfigError, match=f"{name} is empty, which would mean the current folder. Name a"):
        Settings()


@pytest.mark.parametrize(
    "store", ["s3://AKIA:hunter2@bucket/x", "http://user:hunter2@127.0.0.1:9/x", "sftp://user:hunter2@host/x"]
)
def test_a_store_s_address_with_a_secret_is_refused_without_showing_it(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMEROOM_STORE", store)
    with pytest.raises(SystemExit) as ended:
        main(["runs"])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "HOMEROOM_STORE is" in said.err
    assert "hunter2" not in said.err + said.out


def test_a_store_that_cannot_be_reached_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Cannot open the store ftp://127\.0\.0\.1:9/x: "):
        Settings(store="ftp://127.0.0.1:9/x", cache=tmp_path).open_store()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs", "nosuch"], "No application 'nosuch'; there are: "),
        (["runs", "../.."], "No application '../..'; there are: "),
        (["gc", "--keep-days", "inf"], "keep_days is inf; expected at most 36,500 (100 years)"),
        (["gc", "--grace-hours", "1e15"], "grace_hours is 1e+15; expected at most 876,000 (100 years)"),
    ],
)
def test_ordinary_mistakes_are_no_fault_of_homeroom(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
