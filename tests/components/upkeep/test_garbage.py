"""Garbage collection of a store: the order of deletion, what is left by the dead, and races with those who live."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import components.places.remote
import components.upkeep.sweeping
from components.artifacts import FairnessReport, JsonValue, Lineage
from components.errors import ArtifactMissingError, StoreError
from components.places.place import Entry
from components.stage import Runner, StageEvent, job_name
from components.store import Store
from components.testing import S3Server, abandon_upload, stale_listings
from components.upkeep.garbage import Ages, Garbage, Kept, delete_garbage, find_garbage
from components.upkeep.leftovers import Leftover, delete_leftover
from components.upkeep.sweeping import NOTICE, SweepNotice
from tests.components.store_cases import DRAFT
from tests.components.test_two_runs import CALLS, MAY_END, SlowConfig, slow

AGES = Ages(grace=timedelta(hours=1), keep_for=timedelta(hours=10))
NOTHING = Kept(artifacts=frozenset())
Publish = Callable[..., FairnessReport]


def age(root: Path, hours: float = 100) -> None:
    for path in [root, *root.rglob("*")]:
        then = path.stat().st_mtime - hours * 3600
        os.utime(path, (then, then))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def publish(store: Store, tmp_path: Path) -> Publish:
    def make(body: bytes = b"{}", parents: tuple[str, ...] = (), into: Store | None = None) -> FairnessReport:
        (tmp_path / "out").mkdir(exist_ok=True)
        for name in ("a.json", "z.json"):
            (tmp_path / "out" / name).write_bytes(body)
        return (into or store).publish(replace(DRAFT, lineage=Lineage(parents=parents)), tmp_path / "out")

    return make


def found(store: Store, kept: Kept = NOTHING) -> list[Garbage]:
    return find_garbage(store, kept, AGES, datetime.now(UTC))


def collect(store: Store, kept: Kept = NOTHING) -> list[Garbage]:
    return delete_garbage(store, lambda now: find_garbage(store, kept, AGES, now), lambda one: None)


# -- what stays and what goes ----------------------------------------------------------------------------------------


def test_parents_stay_as_long_as_what_was_made_from_them(store: Store, publish: Publish) -> None:
    first = publish(b"1")
    second = publish(b"2", (first.sha256,))
    third = publish(b"3", (second.sha256,))
    other = publish(b"4", (first.sha256,))
    age(Path(store.url))
    gone = collect(store, Kept(artifacts=frozenset({third.sha256})))
    assert [one.artifact for one in gone] == [other.sha256]
    for kept in (first, second, third):
        store.verify(kept)
    with pytest.raises(ArtifactMissingError):
        store.find(other.sha256)
    assert not (Path(store.url) / "artifacts" / other.sha256).exists()
    assert {p.name for p in (Path(store.url) / "used").iterdir()} == {a.sha256 for a in (first, second, third)}


def test_the_same_bytes_made_from_others_keep_both_ways(store: Store, publish: Publish) -> None:
    MAY_END.set()
    one, two = publish(b"1"), publish(b"2")
    made = publish(b"3", (one.sha256,))
    again = replace(made, lineage=Lineage(parents=(two.sha256,)))  # the manifest names the first way only
    record: dict[str, JsonValue] = {"format": 1, "artifact": again.to_json(), "finished_utc": "2026-01-01"}
    store.write_record("stages/any/fairness/k.json", record)
    age(Path(store.url))
    assert collect(store, Kept(artifacts=frozenset({made.sha256}))) == []
    store.verify(two)


def test_ages_count_from_the_last_use(store: Store, publish: Publish) -> None:
    made = publish()
    assert found(store) == []
    age(Path(store.url), 9)
    assert found(store) == []
    age(Path(store.url), 2)
    assert [one.kind for one in found(store)] == ["artifact"]
    store.use(made)
    assert found(store) == []
    age(Path(store.url), 11)
    publish()  # the same bytes again
    assert found(store) == []


def test_half_artifacts_go_after_the_grace_and_can_be_published_again(store: Store, publish: Publish) -> None:
    made = publish()
    (Path(store.url) / "artifacts" / made.sha256 / "manifest.json").unlink()
    assert found(store) == []
    age(Path(store.url), 2)
    assert [(one.kind, one.bytes) for one in collect(store)] == [("half artifact", 4)]
    assert publish() == made
    store.verify(made)


def test_a_stage_record_goes_before_its_result_and_the_manifest_before_the_files(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    MAY_END.set()
    result = Runner(store)(slow, SlowConfig())
    age(Path(store.url))
    deleted: list[str] = []
    original = store.place.delete

    def delete(path: str) -> None:
        deleted.append(path)
        original(path)
        if path.endswith("manifest.json"):
            raise StoreError("killed here")

    monkeypatch.setattr(store.place, "delete", delete)
    with pytest.raises(StoreError, match="killed here"):
        collect(store)
    monkeypatch.undo()
    assert deleted[0].startswith("records/stages/any/slow/")
    assert deleted[1] == f"artifacts/{result.sha256}/manifest.json"
    with pytest.raises(ArtifactMissingError):
        store.find(result.sha256)
    age(Path(store.url))
    assert "half artifact" in {one.kind for one in collect(store)}
    assert [p for p in store.place.list("") if not p.startswith("locks")] == []


def test_an_old_listing_makes_nothing_new_look_forgotten(store: Store, publish: Publish) -> None:
    first = publish(b"1")
    age(Path(store.url))
    with stale_listings(store):
        second = publish(b"2", (first.sha256,))
        gone = collect(store, Kept(artifacts=frozenset({second.sha256})))
    assert [one.artifact for one in gone] in ([], [first.sha256])
    store.verify(second)


def test_a_store_of_a_newer_homeroom_is_left_alone(store: Store, publish: Publish) -> None:
    made = publish()
    path = Path(store.url) / "artifacts" / made.sha256 / "manifest.json"
    path.write_text(path.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(StoreError, match="Upgrade homeroom before collecting garbage"):
        found(store)


# -- what the dead leave ---------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from components.store import Store
store = Store(sys.argv[1])
held = store.scratch(), store.locked("train-" + "0" * 32, lambda: None)
scratch = held[0].__enter__()
held[1].__enter__()
(scratch / "half").write_bytes(b"x" * 1000)
(store.job_folder("train-" + "0" * 32) / "last.ckpt").write_bytes(b"w" * 500)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.multiprocess
def test_what_a_killed_run_leaves_goes_and_its_checkpoints_later(store: Store) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, store.url], check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == -signal.SIGKILL
    root = Path(store.url)
    assert found(store) == []
    age(root, 2)
    assert Counter((one.kind, one.bytes) for one in collect(store)) == {("temporary", 1000): 1, ("lock", 0): 1}
    assert (root / "jobs" / f"train-{'0' * 32}" / "last.ckpt").exists()
    age(root, 10)
    assert [(one.kind, one.bytes) for one in collect(store) if one.kind == "job"] == [("job", 500)]
    age(root, 2)
    collect(store)
    assert [p for p in root.rglob("*") if p.is_file()] == []


def test_what_homeroom_never_named_stays_however_old(store: Store, publish: Publish) -> None:
    """A store's root may be somebody's project: folders of the same names are theirs."""
    publish()
    root = Path(store.url)
    theirs = [
        "tmp/thesis.docx",
        "tmp/notes/a.txt",
        "runs/exp1/events",
        "jobs/j1/x",
        "artifacts/model1/weights.pt",
        "locks/keys.txt",
        "locks/poetry.lock",
        "used/car.json",
        "records/probe/of-gold.json",
        "records/stages/old.json",
    ]
    for name in theirs:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("theirs")
    age(root)
    assert {one.kind for one in collect(store)} == {"artifact"}
    assert [name for name in theirs if not (root / name).exists()] == []


def test_what_is_in_use_stays_however_old(store: Store, publish: Publish) -> None:
    root = Path(store.url)
    made = publish()
    with store.scratch() as scratch, store.locked(f"train-{'1' * 32}", lambda: None):
        (scratch / "half").write_bytes(b"x")
        (store.job_folder(f"train-{'1' * 32}") / "last.ckpt").write_bytes(b"w")
        age(root)  # a stage that has run for four days
        assert collect(store) == []
        assert (scratch / "half").exists()
        store.verify(made)  # perhaps that stage's input
    assert Counter(one.kind for one in collect(store)) == {"artifact": 1, "job": 1, "lock": 1}


def test_the_job_of_a_finished_stage_goes_after_the_grace(store: Store) -> None:
    MAY_END.set()
    events: list[StageEvent] = []
    Runner(store, observe=events.append)(slow, SlowConfig())
    (store.job_folder(job_name("slow", events[-1].key)) / "x").write_bytes(b"x")
    age(Path(store.url), 2)
    assert Counter(one.kind for one in collect(store)) == {"job": 1, "lock": 1}


def test_locks_still_let_one_in_at_a_time_while_their_files_are_collected(store: Store) -> None:
    path = Path(store.url) / "locks" / f"x-{'0' * 32}.lock"
    inside = most = 0
    done = threading.Event()

    def work() -> None:
        nonlocal inside, most
        for _ in range(100):
            with store.locked(f"x-{'0' * 32}", lambda: None):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    def delete() -> None:
        while not done.is_set():
            delete_leftover(Leftover(kind="lock", path=path, bytes=0, reason=""))

    threads = [threading.Thread(target=work) for _ in range(4)]
    collector = threading.Thread(target=delete)
    for thread in (collector, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    collector.join()
    assert most == 1


# -- races -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["use", "publish"])
def test_what_is_taken_into_use_between_the_two_looks_is_spared(store: Store, publish: Publish, act: str) -> None:
    made, other = publish(b"1"), publish(b"2")
    age(Path(store.url))
    looks = 0

    def find(now: datetime) -> list[Garbage]:
        nonlocal looks
        looks += 1
        garbage = find_garbage(store, NOTHING, AGES, now)
        if looks == 1:  # somebody comes just after the first look
            if act == "use":
                Store(store.url).use(made)
            else:
                publish(b"1", into=Store(store.url))
        return garbage

    gone = delete_garbage(store, find, lambda one: None)
    assert [one.artifact for one in gone] == [other.sha256]
    store.verify(made)


@pytest.mark.parametrize("act", ["use", "publish"])
def test_who_comes_after_the_second_look_waits_and_sees_what_is_left(store: Store, publish: Publish, act: str) -> None:
    made = publish(b"1")
    age(Path(store.url))
    outcome: list[object] = []
    looks = 0

    def come() -> None:
        try:
            other = Store(store.url)
            if act == "use":
                other.use(made)
            else:
                outcome.append(publish(b"1", into=other))
        except Exception as error:
            outcome.append(error)

    comer = threading.Thread(target=come)

    def find(now: datetime) -> list[Garbage]:
        nonlocal looks
        looks += 1
        garbage = find_garbage(store, NOTHING, AGES, now)
        if looks == 2:
            comer.start()
            mark = Path(store.url) / "used" / made.sha256
            while time.time() - mark.stat().st_mtime > 1000:
                time.sleep(0.005)
            time.sleep(0.05)
            assert outcome == []  # it waits
        return garbage

    gone = delete_garbage(store, find, lambda one: None)
    comer.join(20)
    assert [one.artifact for one in gone] == [made.sha256]
    if act == "use":
        assert isinstance(outcome[0], ArtifactMissingError)
    else:
        assert outcome == [made]
        Store(store.url).verify(made)


def test_a_hit_that_is_deleted_is_made_again(store: Store) -> None:
    MAY_END.set()
    CALLS.clear()
    result = Runner(store)(slow, SlowConfig())
    age(Path(store.url))
    collect(store)
    assert Runner(store)(slow, SlowConfig()) == replace(result, lineage=Runner(store)(slow, SlowConfig()).lineage)
    assert CALLS == ["ran", "ran"]


def test_one_collector_at_a_time_and_a_dead_ones_notice_runs_out(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = publish()
    with SweepNotice(store.place, ()), pytest.raises(StoreError, match="Another garbage collection is at work"):
        collect(store)
    SweepNotice(store.place, [made.sha256]).__enter__()  # and dies
    monkeypatch.setattr(components.upkeep.sweeping, "STALE_S", 0.3)
    store.use(made)  # waits as long as that, and goes on
    age(Path(store.url))
    assert {one.artifact for one in collect(store)} == {made.sha256}
    assert store.place.get_bytes(NOTICE) is None


# -- S3 --------------------------------------------------------------------------------------------------------------


def test_on_s3_uploads_parts_and_copies_go_too(
    tmp_path: Path, publish: Publish, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components.places.remote, "PART_BYTES", 5 << 20)
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "1")
    bucket = f"bucket-{random.randbytes(4).hex()}"
    s3.make_bucket(bucket)
    store = Store(f"s3://{bucket}/store", cache=tmp_path / "cache", storage_options=s3.storage_options())
    kept, other = publish(b"1", into=store), publish(b"2", into=store)
    store.place.put_bytes(f"tmp/{'0' * 32}.part", b"half")
    store.folder(kept)
    store.folder(other)
    s3.inject(*abandon_upload())
    (tmp_path / "large").write_bytes(bytes(11 << 20))
    with pytest.raises(StoreError):
        store.place.put_file(tmp_path / "large", f"artifacts/{'0' * 64}/large")
    s3.clear()
    before = {one.kind for one in found(store)}
    assert before <= {"upload"}  # moto says of every upload that it began in 2010
    later = datetime.now(UTC) + timedelta(hours=20)
    keep = Kept(artifacts=frozenset({kept.sha256}))
    gone = delete_garbage(store, lambda now: find_garbage(store, keep, AGES, later), lambda one: None)
    assert Counter(one.kind for one in gone) == {"artifact": 1, "upload": 1, "temporary": 1, "copy": 2}
    assert store.place.uploads() == []
    store.verify(kept)
    assert sorted(p.split("/")[0] for p in store.place.list("")) == ["artifacts"] * 3 + ["used"]
    assert (store.folder(kept) / "a.json").read_bytes() == b"1"


def test_an_upload_that_goes_on_is_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto has no upload younger than 2010, so the two are told apart here."""
    now = datetime.now(UTC)
    uploads = [
        Entry(path=f"tmp/{digit * 32}.part", bytes=0, modified=now - timedelta(hours=hours), upload_id="u")
        for digit, hours in (("a", 0.5), ("b", 2))
    ]
    uploads.append(Entry(path="theirs/film.mp4", bytes=0, modified=now - timedelta(hours=9), upload_id="u"))
    monkeypatch.setattr(store.place, "uploads", lambda: uploads)
    assert [one.path for one in found(store)] == [f"tmp/{'b' * 32}.part#u"]
