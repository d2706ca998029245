"""A release and a registry of homeroom 0.1, kept as they were written: readable, verified, and servable for ever."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.bundle import read_bundle_manifest
from components.errors import DigestMismatchError, PipelineError
from components.gate.records import DecisionRecords
from components.signing import SigningKey, read_trusted_keys
from flows.promotion import roll_back
from flows.settings import Settings
from serving.bundle import load_bundle
from serving.health import golden_problems
from serving.registry import PointerLog, ReleaseRegistry, faults_of
from tests.serving.test_http import serve

GOLDEN = Path(__file__).parent.parent / "golden" / "format1"
FIRST, SECOND = "knowledge_tracing-f49cf0c95345", "knowledge_tracing-be3613f37b60"
APPLICATION = "knowledge_tracing"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings over a copy: the store is written to."""
    shutil.copytree(GOLDEN, tmp_path / "golden")
    return Settings(
        store=str(tmp_path / "golden" / "store"), cache=tmp_path / "cache", keys=tmp_path / "golden" / "keys"
    )


def test_the_release_is_verified_with_the_old_key_and_gives_its_golden_answers(settings: Settings) -> None:
    store = settings.open_store()
    release = ReleaseRegistry(store).find(FIRST)
    bundle = load_bundle(store.folder(release), settings.trusted_keys())
    assert (bundle.version, bundle.manifest.signature) == (FIRST, "verified")
    assert len(bundle.golden) == 6
    assert golden_problems(bundle) == ()


def test_it_is_served(settings: Settings) -> None:
    store = settings.open_store()
    folder = store.folder(ReleaseRegistry(store).find(FIRST))
    request = load_bundle(folder).requests.plain(load_bundle(folder).golden[0].request)

    async def talk(client: httpx.AsyncClient) -> Any:
        return (await client.get("/version")).json(), await client.post("/predict", json=request)

    said, answer = serve(folder, talk, release_key=settings.release_key_file())
    assert (said["ready"], said["signature"]) == (True, "verified")
    assert answer.status_code == 200
    assert answer.json()["release"] == FIRST


def test_any_changed_byte_of_it_is_refused(settings: Settings) -> None:
    store, keys = settings.open_store(), settings.trusted_keys()
    folder = store.folder(ReleaseRegistry(store).find(FIRST))
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in ("manifest.json", "bundle.json")):
        body = path.read_bytes()
        at = len(body) // 2
        path.write_bytes(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
        with pytest.raises(PipelineError):
            read_bundle_manifest(folder, keys)
        path.write_bytes(body)
    with pytest.raises(DigestMismatchError, match="does not fit key"):
        read_bundle_manifest(folder, SigningKey(bytes(32)))
    assert read_bundle_manifest(folder, read_trusted_keys(GOLDEN / "keys" / "signing.key")).signature == "verified"


def test_its_registry_is_read_and_the_first_change_takes_it_into_the_log(settings: Settings) -> None:
    store = settings.open_store()
    registry, log = ReleaseRegistry(store), PointerLog(store, APPLICATION)
    current = registry.current(APPLICATION)
    assert current is not None
    assert (current.version, current.action, current.reason) == (FIRST, "rollback", "teachers saw odd answers")
    before = registry.history(APPLICATION)
    assert [(p.version, p.action) for p in before] == [(FIRST, "promote"), (SECOND, "promote"), (FIRST, "rollback")]
    decision = DecisionRecords(store).latest(APPLICATION, SECOND)
    assert decision is not None
    assert (decision.promote, decision.champion) == (True, FIRST)
    roll_back(store, APPLICATION, "the same again, by name", FIRST)
    assert log.numbers() == [1]
    after = registry.history(APPLICATION)
    assert after[:3] == before
    assert (after[3].version, after[3].reason, after[3].number) == (FIRST, "the same again, by name", 1)
    second_served = registry.champion_at(APPLICATION, datetime(2026, 11, 22, 5, 56, 8, tzinfo=UTC))
    assert second_served is not None
    assert second_served.version == SECOND
    assert faults_of(log) == []
