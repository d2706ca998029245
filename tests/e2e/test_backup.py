"""Backup and restore of a store by copying it: by hand, while a run is under way, and from a bucket to a folder."""

import shutil
import threading
from pathlib import Path

import fsspec
import pytest
import s3fs

from components.errors import StoreError
from components.stage import StageEvent
from components.store import Store
from components.testing import S3Server, reset, slow_down
from flows.operations import run_request
from flows.settings import Settings
from flows.summary import RunSummary
from serving.bundle import load_bundle
from serving.health import golden_problems
from serving.registry import ReleaseRegistry
from tests.components.store_cases import DRAFT
from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

ORDER = ("records", "artifacts")
"""What refers first, then what it refers to."""


def digests(summary: RunSummary) -> dict[str, str]:
    return {stage: artifact["sha256"] for stage, artifact in summary.to_json()["artifacts"].items()}


def is_whole(settings: Settings, released: Released) -> None:
    """Check that a store does all that the original does: runs skip, the release verifies, answers and is found."""
    store = settings.open_store()
    for sha256 in {path.split("/")[1] for path in store.place.list("artifacts")}:
        store.verify(store.find(sha256))
    current = ReleaseRegistry(store).current("knowledge_tracing")
    assert current is not None
    release = ReleaseRegistry(store).find(current.version)
    assert golden_problems(load_bundle(store.folder(release), settings.read_signing_key())) == ()
    events: list[StageEvent] = []
    summary = run_request(released.summary.request, settings, observe=events.append)
    assert {event.status for event in events} == {"skipped"}
    assert digests(summary) == digests(released.summary)


def test_a_copy_of_the_folder_is_a_store(released: Released, tmp_path: Path) -> None:
    shutil.copytree(released.settings.store, tmp_path / "backup" / "store")
    settings = Settings(store=str(tmp_path / "backup" / "store"), cache=tmp_path, keys=released.settings.keys)
    is_whole(settings, released)


def test_a_copy_without_scratch_and_locks_is_enough(released: Released, tmp_path: Path) -> None:
    for name in ORDER:
        shutil.copytree(Path(released.settings.store) / name, tmp_path / "store" / name)
    is_whole(Settings(store=str(tmp_path / "store"), cache=tmp_path, keys=released.settings.keys), released)


def unresolved(store: Store) -> list[str]:
    """Return the records that point to an artifact that is not there whole."""
    found = []
    for path in store.list_records("stages"):
        try:
            store.verify(store.find(store.read_record(path)["artifact"]["ref"]["sha256"]))
        except StoreError:
            found.append(path)
    return found


def test_a_copy_while_a_run_goes_on_has_nothing_half(tmp_path: Path) -> None:
    """A writer publishes and records without pause; after every file that is copied it may be one step further."""
    store = Store(tmp_path / "store")
    step, copied = threading.Semaphore(0), threading.Semaphore(0)
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            step.acquire()
            number += 1
            out = tmp_path / "out"
            out.mkdir(exist_ok=True)
            for name in ("a.json", "z.json"):
                (out / name).write_text(str(number))
            made = store.publish(DRAFT, out)
            store.write_record(f"stages/any/fairness/{number:05}.json", {"artifact": made.to_json()})
            copied.release()

    def one_more() -> None:
        step.release()
        copied.acquire()

    def copy(order: tuple[str, ...], target: Path) -> Store:
        def copy_one(source: str, target: str) -> str:
            one_more()
            return shutil.copy2(source, target)

        for name in order:
            shutil.copytree(tmp_path / "store" / name, target / name, copy_function=copy_one)
        return Store(target)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    for _ in range(3):
        one_more()
    try:
        good = copy(ORDER, tmp_path / "good")
        assert unresolved(good) == []
        assert len(good.list_records("stages")) >= 3
        # the other way round, records point to what was not copied any more: that is what the order is for
        assert unresolved(copy(ORDER[::-1], tmp_path / "bad"))
    finally:
        done.set()
        step.release()
        writer.join(10)


def test_a_run_on_an_s3_that_fails_now_and_then_ends_with_the_same_and_is_restored_to_a_folder(
    released: Released, tmp_path: Path, s3_environment: S3Server
) -> None:
    s3 = s3_environment
    s3.make_bucket("unreliable")
    # every kind of request meets it, again and again: after 3, after 13, after 23 ...
    for after in range(3, 400, 10):
        s3.inject(reset(after=after), slow_down(after=after + 5) if after % 50 == 3 else reset(after=after + 5))
    settings = Settings(store="s3://unreliable/store", cache=tmp_path / "cache", keys=released.settings.keys)
    summary = run_request(released.summary.request, settings)
    assert digests(summary) == digests(released.summary)
    assert s3.count() > 40
    s3.clear()
    remote = fsspec.filesystem("s3", skip_instance_cache=True)
    for name in ORDER:
        remote.get(f"unreliable/store/{name}", f"{tmp_path}/restored/{name}", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()
    is_whole(Settings(store=str(tmp_path / "restored"), cache=tmp_path, keys=released.settings.keys), released)
