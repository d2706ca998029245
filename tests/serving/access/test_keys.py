"""Keys: what is stored, when one counts, and that a changed or damaged file does what it should, without a restart."""

import hashlib
import hmac
import json
import multiprocessing
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.access import ring as ring_module
from serving.access.clients import Client
from serving.access.file import edited, read_access_file
from serving.access.keys import found_key, new_key, now_utc
from serving.access.ring import KeyRing
from serving.errors import AccessFileError
from tests.serving.access.house import make_key

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC)
ANYBODY = Client(id="school", roles=frozenset({"grade"}))


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "LOOK_EVERY_S", 0.0)


def test_a_key_has_32_random_bytes_and_only_its_digest_is_stored(tmp_path: Path) -> None:
    made = [new_key(ANYBODY, NOW) for _ in range(1000)]
    assert len({key for key, _ in made}) == len({record.id for _, record in made}) == 1000
    for key, record in made[:20]:
        _, key_id, secret = key.split("_", 2)
        assert (len(secret), key_id) == (43, record.id)  # 43 digits of six bits hold 32 bytes
        assert record.sha256 == hashlib.sha256(key.encode()).digest()
        assert record.sha256.hex() not in repr(record)
    key = make_key(tmp_path / "access.json", "school", "grade")
    body = (tmp_path / "access.json").read_text()
    assert key not in body
    assert key.split("_", 2)[2] not in body
    assert stat.S_IMODE((tmp_path / "access.json").stat().st_mode) == 0o600


def test_a_key_counts_from_the_first_to_the_last_second(tmp_path: Path) -> None:
    key, record = new_key(ANYBODY, NOW, timedelta(days=1))
    keys = {record.id: record}
    assert found_key(key, keys, NOW) is record
    assert found_key(key, keys, NOW + timedelta(days=1, seconds=-1)) is record
    assert found_key(key, keys, NOW + timedelta(days=1)) is None
    assert found_key(key, {record.id: record.ended_by(NOW)}, NOW) is None
    assert record.ended_by(NOW + timedelta(days=9)).expires == record.expires, "an overlap lengthens no life"


def test_an_unknown_id_costs_the_comparison_that_a_wrong_secret_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    key, record = new_key(ANYBODY, NOW)
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return bool(real(one, other))

    monkeypatch.setattr("serving.access.keys.hmac.compare_digest", watched)
    for text in (
        key,
        key[:-1] + ("A" if key[-1] != "A" else "B"),
        f"hr_{'0' * 12}_{key[-43:]}",
        "hr_",
        "",
        "x" * 10_000,
    ):
        found_key(text, {record.id: record}, NOW)
    assert compared == [(32, 32)] * 6


def test_a_change_of_the_file_counts_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    first = make_key(file, "school", "grade")
    ring = KeyRing(file)
    second = make_key(file, "school", "grade")
    assert ring.client_of(first) == ring.client_of(second) == ANYBODY
    with edited(file) as stored:
        stored[:] = [key for key in stored if not first.startswith(f"hr_{key.id}")]
    assert ring.client_of(first) is None
    assert ring.client_of(second) == ANYBODY


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b'{"format": 1}',
        b'{"format": 2, "keys": []}',
        b'{"format": 1, "keys": [], "more": 1}',
        b'{"format": 1, "keys": [{"id": "SECRET"}]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_keeps_the_old_keys_and_says_so(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "access.json"
    key = make_key(file, "school", "grade")
    ring = KeyRing(file)
    whole = file.read_bytes()
    file.write_bytes(damage)
    for _ in range(3):
        assert ring.client_of(key) == ANYBODY
    assert str(file) in ring.problem
    assert "SECRET" not in caplog.text
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "stay as they were" in told.getMessage()
    with pytest.raises(AccessFileError):
        KeyRing(file)
    file.write_bytes(whole)
    assert ring.client_of(key) == ANYBODY
    assert ring.problem == ""


def test_a_file_that_is_gone_keeps_the_old_keys(tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    key = make_key(file, "school", "grade")
    ring = KeyRing(file)
    file.unlink()
    assert ring.client_of(key) == ANYBODY
    assert "cannot be read" in ring.problem


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    make_key(file, "school", "grade")
    for mode in (0o620, 0o602, 0o666):
        file.chmod(mode)
        with pytest.raises(AccessFileError, match="Others may write"):
            read_access_file(file)
    file.chmod(0o640)
    assert len(read_access_file(file).keys) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sha256": "00"}, "sha256"),
        ({"roles": ["root"]}, "roles"),
        ({"roles": []}, "roles"),
        ({"client": "a\nb"}, "client"),
        ({"rate": 0}, "rate"),
        ({"burst": 0}, "burst"),
        ({"expires": "soon"}, "expires"),
        ({"expires": "2027-01-31T12:00:00"}, "has no zone"),
    ],
)
def test_what_makes_no_sense_is_told_by_its_place(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    file = tmp_path / "access.json"
    make_key(file, "school", "grade")
    value = json.loads(file.read_text())
    value["keys"][0].update(change)
    file.write_text(json.dumps(value))
    with pytest.raises(AccessFileError, match=told):
        read_access_file(file)
    twice = json.loads(file.read_text())
    make_key(tmp_path / "other.json", "school", "grade")
    twice["keys"] = json.loads((tmp_path / "other.json").read_text())["keys"] * 2
    file.write_text(json.dumps(twice))
    with pytest.raises(AccessFileError, match="twice"):
        read_access_file(file)


def add_ten(file: str, name: str) -> None:
    for number in range(10):
        make_key(Path(file), f"{name}-{number}", "grade")


@pytest.mark.multiprocess
def test_two_who_edit_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_ten, args=(str(file), name)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len({key.client.id for key in read_access_file(file).keys}) == 20
    assert sorted(os.listdir(tmp_path)) == [".access.json.lock", "access.json"]


def test_now_has_a_zone() -> None:
    assert now_utc().tzinfo is UTC
