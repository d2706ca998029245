"""Which release serves: the same students for both, no return by itself, no failure without a champion."""

import shutil
from pathlib import Path

import pytest

from components._testing.kills import die_at_write
from components.app import load_application
from components.artifacts import Artifact
from components.errors import StoreError
from components.store import Store
from flows.operations import run_request
from flows.promotion import promote_if_better
from flows.request import RunRequest
from flows.settings import Settings
from serving.registry import ReleaseRegistry
from serving.release import Decision
from tests.conftest import Released

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def places(released: Released, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, RunRequest]:
    """Copy the finished run's store, and add a release that is a little better or worse."""
    home = tmp_path_factory.mktemp("promotion")
    shutil.copytree(released.settings.store, home / "store")
    settings = Settings(store=str(home / "store"), cache=home / "cache", keys=released.settings.keys)
    request = released.summary.request
    other = RunRequest(
        application=request.application,
        data=request.data,
        overrides=(*request.overrides, "train.seed=7", "deploy.max_auc_drop=0.5"),
    )
    return settings, other


def test_another_release_takes_over_and_a_rollback_lasts(
    released: Released, places: tuple[Settings, RunRequest]
) -> None:
    settings, other = places
    registry = ReleaseRegistry(settings.open_store())
    first = released.summary.outcome.release.version
    second = run_request(other, settings)
    assert second.decision.promote
    assert "not worse: auc 0." in second.decision.reason
    registry.rollback("knowledge_tracing", "it annoys the teachers")
    again = run_request(other, settings)  # as next week's run would, with nothing new
    assert not again.decision.promote
    assert "it served before and was replaced" in again.decision.reason
    current = registry.current("knowledge_tracing")
    assert current is not None
    assert current.version == first


def test_a_champion_that_is_gone_does_not_stop_a_run(
    released: Released, places: tuple[Settings, RunRequest], tmp_path: Path
) -> None:
    settings, other = places
    outcome = run_request(other, settings).outcome
    store = tmp_path / "store"
    shutil.copytree(settings.store, store)
    copied = Settings(store=str(store), cache=tmp_path / "cache", keys=settings.keys)
    champion = released.summary.outcome.release
    ReleaseRegistry(copied.open_store()).promote(champion, "for this test")
    shutil.rmtree(store / "artifacts" / champion.sha256)
    for record in store.glob("records/releases/*/history/*"):
        record.unlink()
    decision = promote_if_better(
        copied.open_store(),
        load_application("knowledge_tracing"),
        outcome.release,
        outcome.logs,
        outcome.evaluation,
        signing_key=copied.read_signing_key(),
        max_drop=0.0,
    )
    assert decision == Decision(promote=True, reason="the champion cannot serve any more (ArtifactMissingError)")


def test_an_error_that_may_pass_puts_no_other_release_in_its_place(
    released: Released, places: tuple[Settings, RunRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, other = places
    outcome = run_request(other, settings).outcome
    shutil.copytree(settings.store, tmp_path / "store")
    copied = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=settings.keys)
    champion = released.summary.outcome.release
    folder_of = Store.folder
    registry = ReleaseRegistry(copied.open_store())
    registry.promote(champion, "for this test")
    for record in (tmp_path / "store").glob(f"records/releases/*/history/*{outcome.release.version}*"):
        record.unlink()  # as if it had never served

    def decide() -> Decision:
        return promote_if_better(
            copied.open_store(),
            load_application("knowledge_tracing"),
            outcome.release,
            outcome.logs,
            outcome.evaluation,
            signing_key=copied.read_signing_key(),
            max_drop=0.0,
        )

    def unreachable(store: Store, artifact: Artifact) -> Path:
        if artifact == champion:
            raise StoreError("503")
        return folder_of(store, artifact)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "folder", unreachable)
        decision = decide()
    assert not decision.promote
    assert "could not be compared with the current release (StoreError); the next run tries again" in decision.reason
    assert registry.find(outcome.release.version) == outcome.release  # it is registered

    pointer = tmp_path / "store" / "records" / "releases" / "knowledge_tracing" / "current.json"
    before = len(registry.history("knowledge_tracing"))
    pointer.write_bytes(b"")
    decision = decide()
    assert not decision.promote
    assert "current.json" in decision.reason
    assert "is damaged, so nobody can say which release serves" in decision.reason
    with pytest.raises(StoreError, match="is damaged"):
        registry.history("knowledge_tracing")
    registry.promote(champion, "said anew")  # what the message advises
    assert len(registry.history("knowledge_tracing")) == before + 1


@pytest.mark.multiprocess
def test_a_promotion_killed_at_any_write_is_made_by_the_next_run(released: Released, tmp_path: Path) -> None:
    """As a first release, which compares nothing: what compares works in threads, and does not live through a fork."""
    store = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys).open_store()
    outcome = released.summary.outcome
    release = Path("artifacts") / outcome.release.sha256
    shutil.copytree(Path(released.settings.store) / release, tmp_path / "store" / release)
    number = 0
    while True:
        shutil.rmtree(tmp_path / "store" / "records", ignore_errors=True)

        def promote() -> Decision:
            return promote_if_better(
                store,
                load_application("knowledge_tracing"),
                outcome.release,
                outcome.logs,
                outcome.evaluation,
                signing_key=released.settings.read_signing_key(),
                max_drop=0.0,
            )

        killed = die_at_write(promote, number)
        assert promote().promote
        current, history = ReleaseRegistry(store).current("knowledge_tracing"), ReleaseRegistry(store)
        assert current is not None
        assert current.version == outcome.release.version
        assert history.history("knowledge_tracing") == [current]
        if not killed:
            break
        number += 1
    assert number == 3
