"""A store on a disk that fails, at every step of writing: nothing half is visible, and a second try completes."""

import errno
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.artifacts import FairnessReport, JsonValue
from components.errors import ArtifactMissingError, StoreError
from components.stage import Runner
from components.store import Store
from components.testing import DISK_STEPS, DiskFaults, DiskStep, stale_listings
from serving.registry import ReleaseRegistry
from tests.components.store_cases import DRAFT, FILES
from tests.components.test_two_runs import MAY_END, SlowConfig, slow

REMEDIES = {
    errno.ENOSPC: r"No space left on device.*The disk is full: free some room \(`homeroom gc`.*run the same command",
    errno.EIO: r"Input/output error.*The disk or the connection to it is failing: look at the system's log",
    errno.EROFS: r"Read-only file system.*mounted read-only: mount it for writing, or name another store",
    errno.EACCES: r"Permission denied.*It is not allowed: check who owns it",
}


def files_in(folder: Path) -> Path:
    for name, body in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def check_nothing_half_is_visible(root: Path, expected: FairnessReport, before: object) -> None:
    """Look with other eyes: what can be found is whole, and a record is as before or as it was to be."""
    reader = Store(root)
    try:
        found = reader.find(expected.sha256)
    except ArtifactMissingError:
        pass
    else:
        reader.verify(found)
        assert {name: (reader.folder(found) / name).read_bytes() for name in FILES} == FILES
    assert reader.read_record("runs/a.json") in (before, {"new": "x" * 100})
    for path in reader.list_records(""):
        assert isinstance(json.loads((root / "records" / path).read_bytes()), dict)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same disk", "another disk"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_every_step_of_publishing_and_recording_can_fail(
    number: int, lasting: bool, elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if elsewhere:
        across_disks(monkeypatch, tmp_path / "out")
    expected = Store(tmp_path / "other").publish(DRAFT, files_in(tmp_path / "reference"))
    failed: set[str] = set()
    for at in itertools.count(1):
        root = tmp_path / "store"
        before: dict[str, JsonValue] = {"old": at}
        Store(root).write_record("runs/a.json", before)
        with DiskFaults(root, error=number, at=at, times=None if lasting else 1) as faults:
            store = Store(root)
            try:
                made = store.publish(DRAFT, files_in(tmp_path / "out"))
                store.write_record("runs/a.json", {"new": "x" * 100})
                store.write_record("runs/created.json", {"n": at}, create=True)
            except StoreError as error:
                assert_says(error, number)
            check_nothing_half_is_visible(root, expected, before)
        if not faults.injected:
            assert made.sha256 == expected.sha256
            break
        failed |= {one.step for one in faults.injected}
        # the disk works again: the same once more completes, and nothing temporary stays
        made = Store(root).publish(DRAFT, files_in(tmp_path / "out"))
        assert made.sha256 == expected.sha256
        Store(root).verify(made)
        assert [p for p in (root / "tmp").rglob("*") if p.is_file()] == []
        shutil.rmtree(root)
    assert failed == set(DISK_STEPS) - (set() if elsewhere else {"copy"})
    assert at > 15


def across_disks(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let what comes from `folder` lie on another disk, as far as renaming goes."""
    from components.places import disk

    original: Callable[[Path, Path], None] = disk.rename

    def rename(source: Path, target: Path) -> None:
        if source.is_relative_to(folder):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        original(source, target)

    monkeypatch.setattr(disk, "rename", rename)


def assert_says(error: StoreError, number: int) -> None:
    with pytest.raises(StoreError, match=REMEDIES[number]):
        raise error


@pytest.mark.parametrize("number", list(REMEDIES))
def test_each_cause_has_its_remedy_and_the_object_its_name(number: int, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with (
        DiskFaults(tmp_path / "store", error=number, steps=("create",)),
        pytest.raises(StoreError, match=r"records/runs/a.json in .*store could not be read or written") as caught,
    ):
        store.write_record("runs/a.json", {})
    assert_says(caught.value, number)


def test_a_pointer_of_the_registry_is_the_old_or_the_new_one_at_every_step(tmp_path: Path) -> None:
    pointer: dict[str, JsonValue] = {
        "version": "app-000000000000",
        "artifact": "0" * 64,
        "since": "x",
        "reason": "r",
        "action": "promote",
    }
    for at in itertools.count(1):
        store = Store(tmp_path / f"store{at}")
        store.write_record("releases/app/current.json", pointer)
        with DiskFaults(tmp_path / f"store{at}", error=errno.EIO, at=at) as faults:
            try:
                store.write_record("releases/app/current.json", {**pointer, "version": "app-111111111111"})
            except StoreError:
                assert faults.injected
        current = ReleaseRegistry(Store(tmp_path / f"store{at}")).current("app")
        assert current is not None
        assert current.version in ("app-000000000000", "app-111111111111")
        if not faults.injected:
            assert current.version == "app-111111111111"
            break


def test_a_stage_on_a_full_disk_says_so_wherever_it_was_and_runs_through_afterwards(tmp_path: Path) -> None:
    MAY_END.set()
    root = tmp_path / "store"
    reference = Runner(Store(tmp_path / "other"))(slow, SlowConfig())
    for at in itertools.count(1):
        with DiskFaults(root, at=at, times=None) as faults:
            try:
                Runner(Store(root))(slow, SlowConfig())
            except StoreError as error:
                assert_says(error, errno.ENOSPC)
        if not faults.injected:
            break
        assert Runner(Store(root))(slow, SlowConfig()).sha256 == reference.sha256
        shutil.rmtree(root)
    assert at > 15


@pytest.mark.parametrize(
    "write",
    [
        lambda: pl.DataFrame({"a": range(100_000)}).write_parquet("/dev/full"),
        lambda: Path("/dev/full").write_bytes(b"x"),
        lambda: np.arange(100_000).tofile("/dev/full"),
    ],
    ids=["polars", "plain", "numpy"],
)
def test_what_a_library_raises_on_a_full_disk_is_told_as_that(write: Callable[[], object], tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"A stage could not write to .*tmp: .*The disk is full"),
        Store(tmp_path / "store").scratch(),
    ):
        write()


def test_faults_of_other_folders_and_steps_are_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with DiskFaults(tmp_path / "elsewhere") as elsewhere, DiskFaults(tmp_path / "store", steps=("link",)) as links:
        store.write_record("a.json", {})
        with pytest.raises(StoreError):
            store.write_record("b.json", {}, create=True)
    assert elsewhere.seen == 0
    assert links.injected == [DiskStep(step="link", path=links.injected[0].path)]
    store.write_record("b.json", {}, create=True)  # over when the `with` is
    with pytest.raises(ValueError, match=r"expected at >= 1 and steps of make_folder, create"):
        DiskFaults(tmp_path, at=0)


def test_an_old_listing_shows_nothing_new_while_reading_does(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "store"), Store(tmp_path / "store")
    store.write_record("runs/a.json", {})
    with stale_listings(store):
        other.write_record("runs/b.json", {})
        other.delete_record("runs/a.json")
        assert store.list_records("runs") == ["runs/a.json"]
        assert store.read_record("runs/b.json") == {}
        assert store.read_record("runs/a.json") is None
    assert store.list_records("runs") == ["runs/b.json"]
