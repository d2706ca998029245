"""Where things are: absolute whatever the current folder, never empty, and no secret in any message."""

import shutil
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from components.errors import ConfigError, StoreError
from components.secrets import SecretKey, write_key
from components.signing import SigningKey, TrustedKeys, read_trusted_keys
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


def test_a_server_needs_the_public_key_alone(tmp_path: Path) -> None:
    maker, server = Settings(keys=tmp_path / "maker"), Settings(keys=tmp_path / "server")
    key = maker.read_signing_key()
    assert maker.release_key_file() == tmp_path / "maker" / "signing.pub"
    (tmp_path / "server").mkdir()
    shutil.copy(maker.release_key_file(), tmp_path / "server")
    assert server.trusted_keys() == TrustedKeys((key.public,))
    assert server.release_key_file() == tmp_path / "server" / "signing.pub"
    assert [p.name for p in (tmp_path / "server").iterdir()] == ["signing.pub"]  # and makes no key of its own


def test_after_a_change_of_keys_the_earlier_public_key_still_counts(tmp_path: Path) -> None:
    settings = Settings(keys=tmp_path)
    earlier = settings.read_signing_key().public
    (tmp_path / "signing.ed25519").unlink()
    new = settings.read_signing_key().public
    assert settings.trusted_keys().public == (new, earlier)
    assert read_trusted_keys(settings.release_key_file()).public == (new, earlier)


def test_the_hmac_key_of_an_older_homeroom_goes_along_and_stays_secret(tmp_path: Path) -> None:
    old = SecretKey(bytes(range(32)))
    write_key(tmp_path / "signing.key", old)
    settings = Settings(keys=tmp_path)
    assert settings.trusted_keys().secret == (old,)
    file = settings.release_key_file()
    assert read_trusted_keys(file) == settings.trusted_keys()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert settings.read_signing_key().value.hex() not in file.read_text()


def test_a_signing_key_from_the_environment_signs_and_verifies_both_kinds(tmp_path: Path) -> None:
    secret = SecretKey(bytes(range(32)))
    settings = Settings(keys=tmp_path, signing_key=SecretStr(secret.value.hex()))
    assert settings.read_signing_key() == SigningKey.from_secret(secret)
    assert settings.trusted_keys() == TrustedKeys((settings.read_signing_key().public,), (secret,))
    assert read_trusted_keys(settings.release_key_file()) == settings.trusted_keys()
    assert not (tmp_path / "signing.ed25519").exists()
