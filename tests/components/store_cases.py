"""What a store promises, wherever its bytes are: run on a folder by test_store.py and on S3 by test_store_s3.py."""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import components.artifacts
import components.manifest
import components.store
from components.artifacts import FairnessReport, Lineage, RawFiles, Ref, artifact_from_json
from components.errors import ArtifactMissingError, DigestMismatchError, StoreConflictError, StoreError
from components.stage import PENDING
from components.store import Store, raw_identity

DRAFT = FairnessReport(
    ref=PENDING, lineage=Lineage(stage="fairness", started_utc="2026-01-01T00:00:00+00:00"), verdict="pass"
)
FILES = {"groups.json": b'{"a": 1}', "deep/er/table.parquet": b"rows" * 1000}


class StoreCases(ABC):
    """Subclasses say how to open the store again and how to reach its bytes behind its back."""

    @abstractmethod
    def open(self) -> Store:
        """Return a new Store object on the same bytes, as another process would."""

    @abstractmethod
    def raw_write(self, path: str, body: bytes) -> None:
        """Write bytes at a path below the store's root, past the store."""

    @abstractmethod
    def raw_read(self, path: str) -> bytes:
        """Read them."""

    @abstractmethod
    def raw_delete(self, path: str) -> None:
        """Delete them."""

    @abstractmethod
    def raw_list(self) -> list[str]:
        """Return all paths below the store's root."""

    @pytest.fixture
    def folder_of(self, tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
        """Return a function that writes files to a new folder, ready to be published."""
        made = 0

        def make(files: dict[str, bytes]) -> Path:
            nonlocal made
            made += 1
            for name, body in files.items():
                path = tmp_path / f"output{made}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
            return tmp_path / f"output{made}"

        return make

    @pytest.fixture
    def published(self, folder_of: Callable[[dict[str, bytes]], Path]) -> FairnessReport:
        return self.open().publish(DRAFT, folder_of(FILES))

    def base(self, artifact: FairnessReport) -> str:
        return f"artifacts/{artifact.sha256}"

    # -- publishing --------------------------------------------------------------------------------------------------

    def test_a_published_artifact_is_found_with_its_files_by_anyone(self, published: FairnessReport) -> None:
        other = self.open()
        assert other.find(published.sha256) == published
        assert {e.path: e.bytes for e in other.files(published)} == {"groups.json": 8, "deep/er/table.parquet": 4000}
        folder = other.folder(published)
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES
        other.verify(published)
        assert published.ref.bytes == 4008
        assert published.ref.uri.endswith(published.sha256)

    def test_identity_is_over_kind_files_and_facts_and_nothing_else(
        self, published: FairnessReport, folder_of: Callable[[dict[str, bytes]], Path]
    ) -> None:
        store = self.open()
        elsewhen = replace(
            DRAFT, lineage=Lineage(stage="other", parents=("x",), started_utc="2027-01-01T00:00:00+00:00")
        )
        assert store.publish(elsewhen, folder_of(FILES)).sha256 == published.sha256
        others = {
            store.publish(replace(DRAFT, verdict="fail"), folder_of(FILES)).sha256,
            store.publish(DRAFT, folder_of({**FILES, "groups.json": b'{"a": 2}'})).sha256,
            store.publish(
                DRAFT, folder_of({"renamed.json": FILES["groups.json"], "deep/er/table.parquet": b""})
            ).sha256,
            store.publish(DRAFT, folder_of({"groups.json": FILES["groups.json"]})).sha256,
        }
        assert len(others | {published.sha256}) == 5

    def test_the_manifest_is_written_last(
        self, folder_of: Callable[[dict[str, bytes]], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = self.open()
        written: list[str] = []
        for name in ("put_file", "put_bytes"):
            original = getattr(store._place, name)

            def note(first: object, second: object, *, _original: Callable[..., None] = original, **rest: bool) -> None:
                written.append(str(second if isinstance(first, Path) else first))
                _original(first, second, **rest)

            monkeypatch.setattr(store._place, name, note)
        made = store.publish(DRAFT, folder_of(FILES))
        assert [w.removeprefix(f"artifacts/{made.sha256}/") for w in written] == [
            "deep/er/table.parquet",
            "groups.json",
            "manifest.json",
        ]

    def test_an_exception_in_the_middle_leaves_nothing_visible_and_the_next_try_succeeds(
        self, folder_of: Callable[[dict[str, bytes]], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = self.open()
        original = store._place.put_file

        def fail(source: Path, path: str) -> None:
            if path.endswith("groups.json"):
                raise StoreError("the network is gone")
            original(source, path)

        monkeypatch.setattr(store._place, "put_file", fail)
        with pytest.raises(StoreError, match="the network is gone"):
            store.publish(DRAFT, folder_of(FILES))
        (half,) = {p.split("/")[1] for p in self.raw_list() if p.startswith("artifacts/")}
        with pytest.raises(ArtifactMissingError, match="no manifest is there"):
            self.open().find(half)
        monkeypatch.undo()
        made = self.open().publish(DRAFT, folder_of(FILES))
        assert made.sha256 == half
        self.open().verify(made)

    def test_nothing_temporary_stays(self, published: FairnessReport) -> None:
        files = [f"{self.base(published)}/{n}" for n in [*FILES, "manifest.json"]]
        assert sorted(self.raw_list()) == sorted([*files, f"used/{published.sha256}"])

    def test_concurrent_publishers_of_the_same_artifact_all_succeed(
        self, folder_of: Callable[[dict[str, bytes]], Path]
    ) -> None:
        folders = [folder_of(FILES) for _ in range(6)]
        start, made, errors = threading.Barrier(6), [], []

        def publish(folder: Path) -> None:
            store = self.open()
            start.wait()
            try:
                made.append(store.publish(DRAFT, folder))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=publish, args=(f,)) for f in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len({m.sha256 for m in made}) == 1
        self.open().verify(made[0])

    def test_an_empty_folder_a_link_and_the_manifests_name_are_refused(
        self, folder_of: Callable[[dict[str, bytes]], Path], tmp_path: Path
    ) -> None:
        store = self.open()
        (tmp_path / "empty").mkdir()
        with pytest.raises(StoreError, match=r"'fairness' left no files to publish"):
            store.publish(DRAFT, tmp_path / "empty")
        linked = folder_of(FILES)
        (linked / "link.json").symlink_to(linked / "groups.json")
        with pytest.raises(StoreError, match=r"link.json is a symbolic link"):
            store.publish(DRAFT, linked)
        with pytest.raises(StoreError, match=r"called manifest.json cannot be published"):
            store.publish(DRAFT, folder_of({"manifest.json": b"{}"}))
        assert self.raw_list() == []

    # -- damage ------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("body", [b'{"a": 2}', b'{"a"', b"", b'{"a": 1} '])
    def test_a_changed_or_truncated_file_is_noticed_and_repaired_by_publishing_again(
        self, published: FairnessReport, folder_of: Callable[[dict[str, bytes]], Path], body: bytes
    ) -> None:
        self.raw_write(f"{self.base(published)}/groups.json", body)
        for check in (Store.verify, Store.folder):
            with pytest.raises(DigestMismatchError, match=r"groups.json of FairnessReport .* has digest .*, expected"):
                check(self.open(), published)
        self.open().publish(DRAFT, folder_of(FILES))
        self.open().verify(published)
        assert (self.open().folder(published) / "groups.json").read_bytes() == FILES["groups.json"]

    def test_a_missing_file_is_noticed_and_repaired_by_publishing_again(
        self, published: FairnessReport, folder_of: Callable[[dict[str, bytes]], Path]
    ) -> None:
        self.raw_delete(f"{self.base(published)}/groups.json")
        for check in (Store.verify, Store.folder):
            with pytest.raises(ArtifactMissingError, match=r"groups.json .*[Rr]un the stage that makes it again"):
                check(self.open(), published)
        self.open().publish(DRAFT, folder_of(FILES))
        self.open().verify(published)

    @pytest.mark.parametrize("damage", ["shorter", "no json", "other file", "other facts", "gone"])
    def test_a_changed_manifest_is_noticed_and_repaired_by_publishing_again(
        self, published: FairnessReport, folder_of: Callable[[dict[str, bytes]], Path], damage: str
    ) -> None:
        path = f"{self.base(published)}/manifest.json"
        body = self.raw_read(path)
        value = json.loads(body)
        if damage == "other file":
            value["files"][0]["sha256"] = "0" * 64
        if damage == "other facts":
            value["facts"]["verdict"] = "fail"
        changed = {"shorter": body[: len(body) // 2], "no json": b"[]"}.get(damage, json.dumps(value).encode())
        if damage == "gone":
            self.raw_delete(path)
        else:
            self.raw_write(path, changed)
        with pytest.raises((ArtifactMissingError, DigestMismatchError), match=r"[Rr]un the stage that makes it again"):
            self.open().verify(published)
        self.open().publish(DRAFT, folder_of(FILES))
        self.open().verify(published)
        assert self.open().find(published.sha256) == published

    @pytest.mark.parametrize("path", ["../../escaped.json", "/tmp/escaped.json", "deep/../../../escaped.json", ""])
    def test_a_manifest_that_leads_out_of_its_folder_is_refused(self, published: FairnessReport, path: str) -> None:
        where = f"artifacts/{published.sha256}/manifest.json"
        manifest = json.loads(self.raw_read(where))
        manifest["files"][0]["path"] = path
        self.raw_write(where, json.dumps(manifest).encode())
        with pytest.raises(DigestMismatchError):
            self.open().folder(published)

    def test_a_handle_that_says_other_things_than_its_manifest_is_refused(self, published: FairnessReport) -> None:
        with pytest.raises(DigestMismatchError, match="says other things than its manifest"):
            self.open().verify(replace(published, verdict="fail"))

    def test_an_unknown_artifact_is_missing(self) -> None:
        with pytest.raises(ArtifactMissingError, match=r"No artifact 000000000000 in .*Run the stage"):
            self.open().find("0" * 64)

    # -- versions ----------------------------------------------------------------------------------------------------

    def test_a_newer_format_asks_for_an_upgrade(self, published: FairnessReport) -> None:
        path = f"{self.base(published)}/manifest.json"
        self.raw_write(path, json.dumps({**json.loads(self.raw_read(path)), "format": 2}).encode())
        for call in (Store.verify, Store.folder, Store.files):
            with pytest.raises(
                StoreError, match=r"has format 2; this homeroom reads formats up to 1. Upgrade homeroom"
            ):
                call(self.open(), published)
        with pytest.raises(StoreError, match="Upgrade homeroom"):
            self.open().find(published.sha256)

    def test_a_later_version_reads_and_verifies_what_this_one_wrote(
        self, published: FairnessReport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (components.artifacts, components.manifest, components.store):
            monkeypatch.setattr(module, "FORMAT_VERSION", 2)
        later = self.open()
        assert later.find(published.sha256) == published
        later.verify(later.find(published.sha256))
        assert (later.folder(published) / "groups.json").read_bytes() == FILES["groups.json"]

    def test_a_later_version_with_a_new_field_verifies_what_was_written_without_it(
        self, folder_of: Callable[[dict[str, bytes]], Path]
    ) -> None:
        # an artifact as a version without `reasons` would have written it
        made = self.open().publish(DRAFT, folder_of(FILES))
        manifest = json.loads(self.raw_read(f"{self.base(made)}/manifest.json"))
        del manifest["facts"]["reasons"]
        old = components.manifest.identity_of(
            "FairnessReport", components.manifest.files_in(manifest), manifest["facts"], 1
        )
        manifest["ref"]["sha256"] = old
        for name, body in FILES.items():
            self.raw_write(f"artifacts/{old}/{name}", body)
        self.raw_write(f"artifacts/{old}/manifest.json", json.dumps(manifest).encode())
        found = self.open().find(old)
        assert found.facts() == {"verdict": "pass", "reasons": []}
        self.open().verify(found)

    def test_raw_files_are_registered_by_content_and_may_move(self) -> None:
        digests, roles = ("a" * 64, "b" * 64), ("any", "test")
        ref = Ref(uri="here", sha256=raw_identity(digests, roles), bytes=2, media_type="x")
        raw = RawFiles(ref=ref, lineage=Lineage(), uris=("one", "two"), digests=digests, roles=roles)
        self.open().register(raw)
        self.open().verify(raw)
        moved = replace(raw, uris=("three", "four"))
        self.open().verify(moved)
        self.open().register(moved)
        assert self.open().find(raw.sha256) == moved
        assert raw_identity(digests[::-1], roles) != raw.sha256
        assert raw_identity(digests, roles[::-1]) != raw.sha256

    # -- records -----------------------------------------------------------------------------------------------------

    def test_records_are_created_once_overwritten_on_purpose_and_deleted(self) -> None:
        store = self.open()
        assert store.read_record("releases/current.json") is None
        store.write_record("releases/current.json", {"v": 1}, create=True)
        with pytest.raises(StoreConflictError, match="exists already"):
            self.open().write_record("releases/current.json", {"v": 2}, create=True)
        assert store.read_record("releases/current.json") == {"v": 1}
        self.open().write_record("releases/current.json", {"v": 3})
        assert store.read_record("releases/current.json") == {"v": 3}
        store.delete_record("releases/current.json")
        store.delete_record("releases/current.json")
        assert store.read_record("releases/current.json") is None

    def test_of_many_who_create_the_same_record_one_wins(self) -> None:
        start = threading.Barrier(6)
        outcomes: list[int | None] = []

        def create(number: int) -> None:
            store = self.open()
            start.wait()
            try:
                store.write_record("lock.json", {"owner": number}, create=True)
                outcomes.append(number)
            except StoreConflictError:
                outcomes.append(None)

        threads = [threading.Thread(target=create, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 6
        (winner,) = [o for o in outcomes if o is not None]
        assert self.open().read_record("lock.json") == {"owner": winner}

    def test_listings_show_at_once_what_another_wrote_and_deleted(self) -> None:
        mine, other = self.open(), self.open()
        assert mine.list_records("runs") == []
        other.write_record("runs/b.json", {})
        assert mine.list_records("runs") == ["runs/b.json"]
        other.write_record("runs/deep/a.json", {})
        other.write_record("runs2/c.json", {})
        assert mine.list_records("runs") == ["runs/b.json", "runs/deep/a.json"]
        other.delete_record("runs/b.json")
        assert mine.list_records("runs") == ["runs/deep/a.json"]

    def test_a_damaged_record_reads_as_none(self) -> None:
        self.open().write_record("stages/x.json", {"a": 1})
        self.raw_write("records/stages/x.json", b'{"a": ')
        assert self.open().read_record("stages/x.json") is None

    def test_the_probe_writes_finds_conditional_creation_and_leaves_nothing(self) -> None:
        assert self.open().probe() is True
        assert self.raw_list() == []

    def test_a_job_folder_outlives_the_store_object_until_it_is_dropped(self) -> None:
        (self.open().job_folder("train-1") / "last.ckpt").write_bytes(b"weights")
        assert (self.open().job_folder("train-1") / "last.ckpt").read_bytes() == b"weights"
        self.open().drop_job_folder("train-1")
        assert list(self.open().job_folder("train-1").iterdir()) == []

    def test_scratch_is_empty_and_gone_afterwards_also_after_an_error(self) -> None:
        context = self.open().scratch()
        scratch = context.__enter__()
        assert list(scratch.iterdir()) == []
        (scratch / "x").write_text("x")
        assert not context.__exit__(RuntimeError, RuntimeError(), None)  # does not swallow the error
        assert not scratch.exists()

    def test_the_stored_manifest_is_the_handle_and_its_files(self, published: FairnessReport) -> None:
        manifest = json.loads(self.raw_read(f"{self.base(published)}/manifest.json"))
        assert artifact_from_json(manifest) == published
        assert [f["path"] for f in manifest["files"]] == ["deep/er/table.parquet", "groups.json"]
