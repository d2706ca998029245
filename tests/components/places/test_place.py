"""Where bytes lie: whole writes, conditional creation and plain errors, on a folder and on fsspec's memory system."""

import os
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import ArtifactMissingError, StoreConflictError, StoreError
from components.places.place import LocalPlace, Place
from components.places.remote import RemotePlace

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return LocalPlace(tmp_path / "root")
    return RemotePlace(f"memory://{uuid.uuid4().hex}/root", {})


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(body: bytes) -> Path:
        path = tmp_path / uuid.uuid4().hex
        path.write_bytes(body)
        return path

    return make


def test_bytes_and_files_come_back_with_the_published_digest(
    place: Place, file_of: Callable[[bytes], Path], tmp_path: Path
) -> None:
    place.put_bytes("a/empty", b"")
    place.put_file(file_of(b"abc"), "a/b/abc")
    assert place.get_bytes("a/b/abc") == b"abc"
    assert (place.digest("a/empty"), place.digest("a/b/abc")) == (EMPTY, ABC)
    place.get_file("a/b/abc", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"abc"


def test_what_is_not_there_is_none_or_named(place: Place, tmp_path: Path) -> None:
    assert place.get_bytes("x/y") is None
    assert place.digest("x/y") is None
    assert place.list("x") == []
    place.delete("x/y")
    with pytest.raises(ArtifactMissingError, match=r"x/y is not in .*Run the stage that makes it again"):
        place.get_file("x/y", tmp_path / "copy")


def test_listing_is_of_one_folder_sorted_and_deep(place: Place) -> None:
    for path in ("r/b.json", "r/a/c.json", "r2/d.json"):
        place.put_bytes(path, b"{}")
    assert place.list("r") == ["r/a/c.json", "r/b.json"]
    place.delete("r/b.json")
    assert place.list("r") == ["r/a/c.json"]


def test_writing_again_replaces_and_creating_again_conflicts(place: Place) -> None:
    place.put_bytes("x", b"1")
    place.put_bytes("x", b"2")
    with pytest.raises(StoreConflictError, match="x exists already in"):
        place.put_bytes("x", b"3", create=True)
    assert place.get_bytes("x") == b"2"


def test_a_failed_local_write_leaves_the_old_bytes_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = LocalPlace(tmp_path / "root")
    place.put_bytes("x", b"old")

    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(
        StoreError,
        match=r"x in .*could not be read or written: OSError: .*No space left.*The disk is full: free some room",
    ):
        place.put_bytes("x", b"new")
    assert place.get_bytes("x") == b"old"
    assert list((tmp_path / "root" / "tmp").iterdir()) == []


def test_a_local_file_is_moved_and_not_copied(tmp_path: Path, file_of: Callable[[bytes], Path]) -> None:
    source = file_of(b"abc")
    inode = source.stat().st_ino
    LocalPlace(tmp_path / "root").put_file(source, "x")
    assert not source.exists()
    assert (tmp_path / "root" / "x").stat().st_ino == inode
    assert stat.S_ISREG((tmp_path / "root" / "x").stat().st_mode)
