"""A checkpoint folder alone: whole or refused, whatever the disk does and whoever changes its bytes."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import json
import os
import pickle
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.checkpoints import load_checkpoint, places, renaming, save_checkpoint
from trainer.checkpoints.files import link_checkpoint, remove_checkpoint
from trainer.checkpoints.sharded import manifest, reading
from trainer.checkpoints.sharded.exchange import Exchange
from trainer.checkpoints.sharded.manifest import DamagedFolderError
from trainer.checkpoints.sharded.tensors import take_apart
from trainer.checkpoints.sharded.writing import Contents, write_folder
from trainer.errors import CheckpointError


def write(path: Path, step: int, extra: Any = None) -> None:
    weights = {"a": torch.full((3, 2), float(step)), "b": torch.arange(4), "c": torch.tensor(1.5)}
    plain, tensors = take_apart({"state_dict": weights, "global_step": step, "extra": extra}, {}, [])
    write_folder(path, Contents(plain=plain, tensors=tensors, strategy="Test"), Exchange())


def step_of(path: Path) -> int:
    found = load_checkpoint(path)
    assert torch.equal(found["state_dict"]["a"], torch.full((3, 2), float(found["global_step"])))
    return int(found["global_step"])


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "a.ckpt", 3, extra={"tuple": (1, "x"), "tensor": torch.ones(2)})
    found = load_checkpoint(tmp_path / "a.ckpt")
    assert found["global_step"] == 3
    assert found["extra"]["tuple"] == (1, "x")
    assert torch.equal(found["extra"]["tensor"], torch.ones(2))
    assert {name: value.tolist() for name, value in found["state_dict"].items()} == {
        "a": [[3.0, 3.0]] * 3,
        "b": [0, 1, 2, 3],
        "c": 1.5,
    }
    assert os.listdir(tmp_path) == ["a.ckpt"]
    said = json.loads((tmp_path / "a.ckpt" / "manifest.json").read_text())
    assert (said["format"], said["step"], said["world"], said["strategy"]) == (1, 3, 1, "Test")
    assert sorted(said["files"]) == [".metadata", "__0_0.distcp", "meta.pt"]


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let nothing be unpickled from now on."""

    def refuse(*_: Any, **__: Any) -> Any:
        pytest.fail("something was unpickled")

    def begin() -> None:
        monkeypatch.setattr(torch, "load", refuse)
        monkeypatch.setattr(pickle, "load", refuse)
        monkeypatch.setattr(pickle, "loads", refuse)
        monkeypatch.setattr(reading._Unpickler, "load", refuse, raising=False)

    return begin


def test_a_thousand_flips_and_cuts_are_noticed_before_anything_is_unpickled(
    tmp_path: Path, no_pickle: Callable[[], None]
) -> None:
    folder = tmp_path / "a.ckpt"
    write(folder, 1)
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    files = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    assert len(files) == 4
    no_pickle()
    for trial in range(1000):
        path, data = chance.choice(list(files.items()))
        if chance.random() < 0.7:
            changed = bytearray(data)
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:
            changed = bytearray(data[: chance.randrange(len(data))])
        path.write_bytes(changed)
        what = f"trial {trial} of seed {seed}: {path.name}"
        with pytest.raises(DamagedFolderError) as told:
            load_checkpoint(folder)
        assert "a.ckpt is damaged or cut short" in str(told.value), what
        path.write_bytes(data)
    with pytest.raises(pytest.fail.Exception, match="unpickled"):  # the guard is where it has to be
        load_checkpoint(folder)


@pytest.mark.parametrize("kind", ["missing", "additional", "no manifest", "empty", "other format", "link"])
def test_folders_that_are_not_whole_are_refused(tmp_path: Path, no_pickle: Callable[[], None], kind: str) -> None:
    folder = tmp_path / "a.ckpt"
    write(folder, 1)
    message = {
        "missing": "meta.pt is missing",
        "additional": "more does not belong to it",
        "no manifest": "has no manifest.json: it was never completed",
        "empty": "has no manifest.json",
        "other format": "of format 2, and this version reads format 1",
        "link": r"__0_0.distcp has 0 bytes instead of \d+",
    }[kind]
    if kind == "missing":
        (folder / "meta.pt").unlink()
    elif kind == "additional":
        (folder / "more").touch()
    elif kind == "no manifest":
        (folder / "manifest.json").unlink()
    elif kind == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    elif kind == "other format":
        found = manifest.read(folder)
        fields = {name: getattr(found, name) for name in found.__slots__} | {"format": 2}
        (folder / "manifest.json").write_bytes(manifest.encode(manifest.Manifest(**fields)))
    else:
        (folder / "__0_0.distcp").write_bytes(b"")
    no_pickle()
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("name", [".metadata", "meta.pt"])
def test_a_folder_that_would_run_code_is_not_read(tmp_path: Path, name: str) -> None:
    """Also where its manifest is right: who writes one can write the other."""
    folder = tmp_path / "a.ckpt"
    write(folder, 1)
    found = manifest.read(folder)
    if name == "meta.pt":
        torch.save({"state_dict": {}, "x": Evil()}, folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(Evil()))
    found.files[name] = manifest.measure(folder / name)
    (folder / "manifest.json").write_bytes(manifest.encode(found))
    with pytest.raises(CheckpointError, match="could run code"):
        load_checkpoint(folder)
    assert not Path("evil").exists()


# Writing


def test_an_old_one_is_replaced_by_a_new_one_of_either_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    write(path, 1)
    write(path, 2)
    assert step_of(path) == 2
    save_checkpoint({"state_dict": {}, "global_step": 3}, path)
    assert path.is_file()
    write(path, 4)
    assert step_of(path) == 4
    assert os.listdir(tmp_path) == ["a.ckpt"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_systems_that_exchange_no_names_do_it_in_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(sys, "platform", "darwin")
    write(tmp_path / "a.ckpt", 1)
    seen: list[tuple[Path, bool]] = []
    replace = os.replace

    def watched(source: Any, target: Any) -> None:
        replace(source, target)
        seen.append((Path(target), (tmp_path / "a.ckpt").exists()))

    monkeypatch.setattr(os, "replace", watched)
    write(tmp_path / "a.ckpt", 2)
    assert step_of(tmp_path / "a.ckpt") == 2
    assert os.listdir(tmp_path) == ["a.ckpt"]
    aside = [path.name for path, _ in seen if path.name.startswith(".aside-a.ckpt-")]
    assert len(aside) == (0 if exchanges else 1)


def test_one_that_was_moved_aside_gets_its_name_back(tmp_path: Path) -> None:
    """Where a process is killed between two renames."""
    write(tmp_path / "a.ckpt", 1)
    renaming._move_aside(tmp_path / "a.ckpt")
    write(tmp_path / "b.ckpt", 2)
    shutil.copytree(tmp_path / "b.ckpt", tmp_path / f".aside-b.ckpt-{'0' * 32}")
    assert not places.exists(tmp_path / "a.ckpt")
    places.remove_left_overs(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.ckpt", "b.ckpt"]
    assert step_of(tmp_path / "a.ckpt") == 1


def test_what_a_dead_writer_left_goes_when_it_is_old(tmp_path: Path) -> None:
    host = places._host()
    dead, alive = 2**22 + 12345, os.getpid()
    names = [f".tmp-3-{host}-{pid}-{'a' * 32}" for pid in (dead, alive)] + [f".tmp-3-elsewhere-{dead}-{'a' * 32}"]
    for name in [*names, f".tmp-4-{host}-{dead}-{'b' * 32}", ".tmp-of-somebody"]:
        (tmp_path / name).mkdir()
    for name in [*names, ".tmp-of-somebody"]:
        os.utime(tmp_path / name, (0, 0))
    places.remove_left_overs(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*names[1:], f".tmp-4-{host}-{dead}-{'b' * 32}", ".tmp-of-somebody"])


class _Faulty:
    """A file that counts its writes."""

    def __init__(self, file: Any, due: Callable[[str], None]) -> None:
        self._file, self._due = file, due

    def write(self, data: Any) -> Any:
        try:
            self._due("write")
        except OSError:
            self._file.write(bytes(data)[: len(bytes(data)) // 2])
            raise
        return self._file.write(data)

    def __enter__(self) -> _Faulty:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def failing_disk(monkeypatch: pytest.MonkeyPatch, number: int, at: int) -> Iterator[list[str]]:
    """Let the `at`-th step of writing fail; gives the steps that were seen."""
    seen: list[str] = []

    def due(step: str) -> None:
        seen.append(step)
        if len(seen) == at:
            raise OSError(number, os.strerror(number))

    def faulty(step: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            due(step)
            return original(*args, **options)

        return call

    opened = io.open

    def open_faulty(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+"):
            return opened(file, mode, *args, **options)
        due("open")
        return _Faulty(opened(file, mode, *args, **options), due)

    with monkeypatch.context() as patch:
        for name in ("mkdir", "fsync", "replace", "rename"):
            patch.setattr(os, name, faulty(name, getattr(os, name)))
        patch.setattr(renaming, "_exchange", faulty("exchange", renaming._exchange))
        patch.setattr(io, "open", open_faulty)
        patch.setattr(builtins, "open", open_faulty)
        yield seen


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_step_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "a.ckpt"
    write(path, 1)
    steps: set[str] = set()
    for at in itertools.count(1):
        told = ""
        with failing_disk(monkeypatch, number, at) as seen:
            try:
                write(path, 2)
            except CheckpointError as error:
                told = str(error)
        if not told and len(seen) < at:
            break  # there was no such step
        if not told:
            assert seen[at - 1] == "mkdir"  # of a folder that is there already
            write(path, 1)
            continue
        assert os.strerror(number) in told, (at, told)
        assert str(path) in told
        steps.add(seen[at - 1])
        assert os.listdir(tmp_path) == ["a.ckpt"], (at, seen[-1])
        is_in_place = "exchange" in seen[: at - 1]  # only the flush after it failed
        assert step_of(path) == (2 if is_in_place else 1), (at, seen)
        if is_in_place:
            write(path, 1)
    assert steps == {"mkdir", "open", "write", "fsync", "rename", "exchange"}
    assert step_of(path) == 2


def test_a_folder_that_is_no_checkpoint_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").mkdir()
    (tmp_path / "a.ckpt" / "thesis.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="a folder of this name is there, and it is no checkpoint"):
        write(tmp_path / "a.ckpt", 1)
    assert (tmp_path / "a.ckpt" / "thesis.txt").read_text() == "mine"
    assert os.listdir(tmp_path) == ["a.ckpt"]


# Names


@pytest.mark.parametrize("links", [True, False])
def test_a_second_name_replaces_what_had_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def refuse(*_: Any) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    for step in (1, 2):
        write(tmp_path / f"{step}.ckpt", step)
        link_checkpoint(tmp_path / f"{step}.ckpt", tmp_path / "last.ckpt")
        assert step_of(tmp_path / "last.ckpt") == step
    remove_checkpoint(tmp_path / "2.ckpt")
    assert step_of(tmp_path / "last.ckpt") == 2
    save_checkpoint({"state_dict": {}, "global_step": 9}, tmp_path / "3.ckpt")
    link_checkpoint(tmp_path / "3.ckpt", tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 9
    assert sorted(os.listdir(tmp_path)) == ["1.ckpt", "3.ckpt", "last.ckpt"]


def test_removal_renames_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.ckpt", 1)
    monkeypatch.setattr(renaming, "destroy", lambda path: None)  # killed there
    remove_checkpoint(tmp_path / "a.ckpt")
    [left] = os.listdir(tmp_path)
    assert left.startswith(".tmp-")
    remove_checkpoint(tmp_path / "a.ckpt")  # nothing is there any more
    assert places.folders_with_times(tmp_path, "") == []
