"""`homeroom keys`, and what `homeroom serve` refuses before it starts anything."""

import json
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.__main__ import cli
from flows.cli.access import access_settings
from serving.access import ring as ring_module
from serving.access.ring import KeyRing
from tests.serving.access.house import make_key

KEY = re.compile(r"hr_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOMEROOM_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("HOMEROOM_SERVE_KEYS", raising=False)
    monkeypatch.setattr(ring_module, "LOOK_EVERY_S", 0.0)
    return tmp_path / "keys" / "access.json"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["keys", *arguments])


def listed() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("list", "--json").stdout)["keys"]
    return found


def test_a_key_is_shown_once_and_counts_at_once(place: Path) -> None:
    made = run("add", "lincoln-high", "--role", "grade", "--role", "read", "--district", "north", "--rate", "5")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert KEY.fullmatch(key), "standard output holds the key and nothing else"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    for told in (place.read_text(), run("list").output, run("list", "--json").output, made.stderr):
        assert key not in told
    client = KeyRing(place).client_of(key)
    assert client is not None
    assert (client.id, set(client.roles), client.district, client.rate) == (
        "lincoln-high",
        {"grade", "read"},
        "north",
        5.0,
    )
    assert "lincoln-high  grade,read  5/s, 40 at once  for ever  of north" in run("list").output


def test_a_renewed_key_counts_beside_the_old_one_until_the_overlap_ends(place: Path) -> None:
    old = run("add", "school", "--role", "grade").stdout.strip()
    new = run("rotate", "school", "--overlap", "2h").stdout.strip()
    assert old != new
    now = datetime.now(UTC)
    for later, counts in (
        (timedelta(0), (True, True)),
        (timedelta(hours=1.9), (True, True)),
        (timedelta(hours=2.1), (False, True)),
    ):
        ring = KeyRing(place, (now + later).timestamp)
        assert tuple(ring.client_of(key) is not None for key in (old, new)) == counts
    first, second = (KeyRing(place).client_of(key) for key in (old, new))
    assert first == second, "the same client, roles and limits"


def test_revoking_ends_a_key_or_all_of_a_client(place: Path) -> None:
    first = run("add", "school", "--role", "grade").stdout.strip()
    second = run("rotate", "school").stdout.strip()
    ring = KeyRing(place)
    assert run("revoke", first.split("_")[1]).exit_code == 0
    assert (ring.client_of(first), ring.client_of(second) is not None) == (None, True)
    assert run("revoke", "school").exit_code == 0
    assert ring.client_of(second) is None
    assert [key["state"] for key in listed()] == ["revoked", "revoked"]
    assert run("revoke", "school").exit_code == 2
    again = run("add", "school", "--role", "read").stdout.strip()
    assert ring.client_of(again) is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["add", "a b", "--role", "read"], "expected 1 to 64 letters"),
        (["add", "school", "--role", "root"], "'root' is not one of"),
        (["add", "school"], "--role"),
        (["add", "school", "--role", "read", "--expires", "soon"], "is no length of time"),
        (["add", "school", "--role", "read", "--rate", "0"], "--rate"),
        (["rotate", "nobody"], "has no key that counts"),
        (["revoke", "nobody"], "has no key that counts"),
    ],
)
def test_what_makes_no_sense_is_told_and_changes_nothing(place: Path, arguments: list[str], told: str) -> None:
    make_key(place, "school-1", "read")
    before = place.read_bytes()
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert place.read_bytes() == before


def test_a_client_that_has_a_key_is_renewed_and_not_added_again(place: Path) -> None:
    run("add", "school", "--role", "grade")
    again = run("add", "school", "--role", "grade")
    assert (again.exit_code, "homeroom keys rotate school" in again.output) == (2, True)


def test_a_damaged_file_is_told_and_never_overwritten(place: Path) -> None:
    place.parent.mkdir()
    place.write_text("{ half a fi")
    result = run("add", "school", "--role", "grade")
    assert result.exit_code != 0
    assert "makes no sense" in str(result.exception)
    assert place.read_text() == "{ half a fi"


def test_another_file_can_be_named_by_option_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", "school", "--role", "grade", "--file", str(tmp_path / "one.json"))
    monkeypatch.setenv("HOMEROOM_SERVE_KEYS", str(tmp_path / "one.json"))
    assert [key["client"] for key in listed()] == ["school"]


def test_serving_uses_the_keys_that_are_there(place: Path, tmp_path: Path) -> None:
    assert access_settings("127.0.0.1", None, False, None, None) == ({}, None), "as it always was"
    make_key(place, "school", "grade")
    assert access_settings("127.0.0.1", None, False, None, None)[0] == {"HOMEROOM_SERVE_KEYS": str(place)}
    make_key(tmp_path / "other.json", "school", "grade")
    named = access_settings("0.0.0.0", tmp_path / "other.json", False, None, None)[0]
    assert named == {"HOMEROOM_SERVE_KEYS": str(tmp_path / "other.json")}
    opened = access_settings("0.0.0.0", None, True, None, None)[0]
    assert opened == {"HOMEROOM_SERVE_OPEN": "true", "HOMEROOM_SERVE_KEYS": ""}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "school.example"])
def test_an_address_that_others_reach_needs_keys_or_the_word_open(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import click

    with pytest.raises(click.UsageError, match=r"homeroom\s+keys add CLIENT.*--open"):
        access_settings(host, None, False, None, None)
    access_settings(host, None, True, None, None)
    assert "no key is asked for" in capsys.readouterr().err
    with pytest.raises(click.UsageError, match="exclude"):
        access_settings(host, Path("x"), True, None, None)
    with pytest.raises(click.UsageError, match="go together"):
        access_settings(host, None, True, Path("x"), None)
