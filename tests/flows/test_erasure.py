"""`homeroom erase` where there is nothing to go by: it says so, makes nothing, and repeats no id."""

from pathlib import Path
from typing import Any

import pytest

from components.errors import ConfigError
from components.secrets import SecretKey, write_key
from components.store import Store
from flows.__main__ import main
from flows.erasure import erase_student, serving_now
from flows.settings import Settings
from serving.registry import ReleaseRegistry
from tests.serving.registry.published import release

STUDENT = "pupil-4711-ann"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    names = ("cache", "keys", "overrides")
    return Settings(store=str(tmp_path / "store"), **{name: tmp_path / name for name in names})


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "Expected one of"),
        ({"student": STUDENT, "pseudonym": "a" * 32}, "Expected one of"),
        ({"student": STUDENT}, "There is no pseudonym key"),
        ({"pseudonym": "a" * 32}, "There is no pseudonym key"),
        ({"pseudonym": STUDENT}, "14 characters; expected 32 hex digits"),
        ({"student": STUDENT, "texts": ["Too short."]}, "1 of the texts"),
    ],
)
def test_what_makes_no_sense_is_refused_and_no_key_is_made(settings: Settings, how: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        erase_student(settings, really=True, **how)
    assert STUDENT not in str(refused.value)
    assert not settings.keys.exists()


def test_an_empty_id_is_nobodys(settings: Settings) -> None:
    write_key(settings.keys / "pseudonym.key", SecretKey(bytes(range(32))))
    with pytest.raises(ConfigError, match="id is empty"):
        erase_student(settings, student="  ")


def test_the_command_repeats_no_id_and_stores_none(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_key(settings.keys / "pseudonym.key", SecretKey(bytes(range(32))))
    for name in ("store", "keys", "cache", "overrides"):
        monkeypatch.setenv(f"HOMEROOM_{name.upper()}", str(getattr(settings, name)))
    for arguments, code in (([], 0), (["--yes"], 0), (["--yes", "--json"], 0), (["--pseudonym", STUDENT], 2)):
        with pytest.raises(SystemExit) as ended:
            main(["erase", STUDENT, *arguments])
        assert ended.value.code == code
    shown = capfd.readouterr()
    assert "Nothing is stored of this student." in shown.out
    assert STUDENT not in shown.out + shown.err
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 1
    assert not [path for path in written if STUDENT.encode() in path.read_bytes() or STUDENT in path.name]


def test_what_serves_anybody_is_told_with_its_place(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    registry = ReleaseRegistry(store)
    assert serving_now(store) == {}
    champion, shadow, challenger, idle = (release(store, digit * 12) for digit in "abcd")
    registry.promote(champion, "first")
    registry.shadow(shadow, "a look")
    registry.canary(challenger, 10, "carefully")
    registry.register(idle)
    assert serving_now(store) == {
        champion.sha256: "current release of tracing",
        shadow.sha256: "shadow of tracing",
        challenger.sha256: "challenger of tracing",
    }
