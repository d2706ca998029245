"""The store on a local folder, and what only a folder can show: a killed writer, permissions, another disk."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import StoreError
from components.places.place import LocalPlace
from components.store import Store
from tests.components.store_cases import DRAFT, StoreCases

ROOT = Path(__file__).parents[2]


class TestStoreInAFolder(StoreCases):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.root = tmp_path / "store"

    def open(self) -> Store:
        return Store(self.root)

    def raw_write(self, path: str, body: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(body)

    def raw_read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def raw_delete(self, path: str) -> None:
        (self.root / path).unlink()

    def raw_list(self) -> list[str]:
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())


KILLED = """
import os, signal, sys
from pathlib import Path
from components.places.place import LocalPlace
from components.store import Store
sys.path.insert(0, {root!r})
from tests.components.store_cases import DRAFT
folder = Path(sys.argv[1]) / "out"
folder.mkdir()
for i in range(5):
    (folder / f"{{i}}.bin").write_bytes(bytes([i]) * 1000)
put, done = LocalPlace.put_file, []
def put_and_die(self, source, path):
    put(self, source, path)
    done.append(path)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
LocalPlace.put_file = put_and_die
Store(Path(sys.argv[1]) / "store").publish(DRAFT, folder)
"""


@pytest.mark.multiprocess
def test_a_writer_killed_in_the_middle_leaves_no_artifact_and_the_next_writer_completes_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED.format(root=str(ROOT)), str(tmp_path)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    store = Store(tmp_path / "store")
    (half,) = (tmp_path / "store" / "artifacts").iterdir()
    assert len(list(half.iterdir())) == 3
    with pytest.raises(StoreError, match="no manifest is there"):
        store.find(half.name)
    folder = tmp_path / "again"
    folder.mkdir()
    for i in range(5):
        (folder / f"{i}.bin").write_bytes(bytes([i]) * 1000)
    assert store.publish(DRAFT, folder).sha256 == half.name
    Store(tmp_path / "store").verify(store.find(half.name))


def test_a_file_url_and_a_path_are_the_same_store(tmp_path: Path) -> None:
    Store(f"file://{tmp_path}/store").write_record("a.json", {"x": 1})
    assert Store(tmp_path / "store").read_record("a.json") == {"x": 1}
    assert Store(tmp_path / "store").local_root == tmp_path / "store"


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("student,correct\n")
    with pytest.raises(StoreError, match=r"answers\.csv is a file; expected a folder"):
        Store(tmp_path / "answers.csv")


def test_a_verified_artifact_is_read_once_per_store_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"a")
    made = Store(tmp_path / "store").publish(DRAFT, folder)
    store = Store(tmp_path / "store")
    store.folder(made)
    read: list[str] = []
    monkeypatch.setattr(LocalPlace, "digest", lambda self, path: read.append(path))
    store.folder(made)
    assert read == []


def test_publishing_from_another_disk_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"a" * 100)
    original = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.parent == folder:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    made = Store(tmp_path / "store").publish(DRAFT, folder)
    Store(tmp_path / "store").verify(made)
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


def test_a_store_that_cannot_be_made_says_where_and_what_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"could not be read or written: .*Check that the store exists"):
        Store(tmp_path / "file" / "store").probe()


def test_a_remote_store_without_a_cache_is_refused() -> None:
    with pytest.raises(StoreError, match=r"remote store \(s3://bucket/x\) needs `cache=`"):
        Store("s3://bucket/x")


def test_an_unknown_protocol_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Cannot open the store gopher://x"):
        Store("gopher://x", cache=tmp_path)
