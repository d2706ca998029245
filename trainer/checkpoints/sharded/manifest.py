"""The manifest of a checkpoint folder: what is in it, byte by byte, compared before anything is unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.errors import CheckpointError

NAME = "manifest.json"
FORMAT = 1
_BLOCK = 1 << 18


class DamagedFolderError(CheckpointError):
    """A checkpoint folder that is not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a folder.

    Attributes:
        size: in bytes.
        sha256: of its bytes, as hexadecimal digits.
    """

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a folder holds.

    Attributes:
        format: of the folder.
        step: optimizer steps that were done.
        world: processes that wrote.
        strategy: the class of the strategy under which they wrote.
        config: a digest of the hyperparameters, "" where there are none.
        files: the files by name.
    """

    format: int
    step: int
    world: int
    strategy: str
    config: str
    files: dict[str, Entry]


def is_sharded(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a folder, as a sharded checkpoint is one: whole or not."""
    text = os.fspath(path).removeprefix("file://").removeprefix("local://")
    return "://" not in text and os.path.isdir(text)


def measure(path: Path) -> Entry:
    """Return the size and digest of a file's bytes as they are on the disk."""
    found, size = hashlib.sha256(), 0
    block = memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as file:
        while read := file.readinto(block):
            found.update(block[:read])
            size += read
    return Entry(size=size, sha256=found.hexdigest())


def encode(manifest: Manifest) -> bytes:
    """Return the manifest's one form, as JSON; its "digest" is that of the form without it."""
    fields = asdict(manifest)
    digest = hashlib.sha256(_text(fields)).hexdigest()
    return _text(fields | {"digest": digest})


def _text(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n"


def read(folder: Path) -> Manifest:
    """Return the manifest of a folder whose files have the names and sizes in it; their bytes are not read yet.

    Raises:
        DamagedFolderError: it is damaged; a file is missing, additional or of another size.
        CheckpointError: there is none, or it is of a format that this version does not know.
    """
    try:
        data = (folder / NAME).read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"The folder {folder} has no {NAME}: it was never completed, or is no checkpoint of this trainer. "
            "Take an earlier checkpoint of the same run."
        ) from None
    manifest = _decode(folder, data)
    found = {entry.name: entry.stat().st_size for entry in os.scandir(folder) if entry.name != NAME}
    wrong = [f"{name} is missing" for name in sorted(manifest.files.keys() - found.keys())]
    wrong += [f"{name} does not belong to it" for name in sorted(found.keys() - manifest.files.keys())]
    wrong += [
        f"{name} has {found[name]} bytes instead of {entry.size}"
        for name, entry in sorted(manifest.files.items())
        if name in found and found[name] != entry.size
    ]
    if wrong:
        raise damaged(folder, wrong)
    return manifest


def _decode(folder: Path, data: bytes) -> Manifest:
    try:
        fields: dict[str, Any] = json.loads(data)
        digest = fields.pop("digest")
        is_whole = hashlib.sha256(_text(fields)).hexdigest() == digest and _text(fields | {"digest": digest}) == data
    except (ValueError, KeyError, AttributeError, RecursionError):
        is_whole = False
    if not is_whole:
        raise damaged(folder, [f"{NAME} does not have the digest that was written with it"])
    if fields.get("format") != FORMAT:
        raise CheckpointError(
            f"The checkpoint {folder} is of format {fields.get('format')}, and this version reads format {FORMAT}. "
            "Read it with the version of the trainer that wrote it."
        )
    files = {name: Entry(**entry) for name, entry in fields.pop("files").items()}
    return Manifest(files=files, **fields)


def compare(folder: Path, files: Mapping[str, Entry], names: Iterable[str]) -> None:
    """Read these files of a folder and compare every byte with what the manifest says.

    Raises:
        DamagedFolderError: some differ; all of them are named.
        CheckpointError: some cannot be read, which says nothing of what is in them.
    """
    wrong, unread = [], []
    for name in names:
        try:
            if measure(folder / name) != files[name]:
                wrong.append(f"the bytes of {name} do not have the digest that was written with them")
        except OSError as error:
            unread.append(f"{name} cannot be read: {error}")
    if wrong:
        raise damaged(folder, wrong)
    if unread:
        raise CheckpointError(
            f"The checkpoint {folder} cannot be read here: {'; '.join(unread[:3])}. Look at the file system and the "
            "rights of its files; the checkpoint itself may be good."
        )


def share(files: Mapping[str, Entry], rank: int, world: int) -> list[str]:
    """Return the names of the files that process `rank` of `world` compares: about equally many bytes for each."""
    given = [0] * world
    mine = []
    for name in sorted(files, key=lambda name: (-files[name].size, name)):
        least = given.index(min(given))
        given[least] += files[name].size
        if least == rank:
            mine.append(name)
    return mine


def damaged(folder: Path, wrong: Iterable[str]) -> DamagedFolderError:
    """Return the error that says what is wrong with a folder."""
    return DamagedFolderError(
        f"The checkpoint {folder} is damaged or cut short: {'; '.join(wrong)}. Nothing in it was read. "
        "Take an earlier checkpoint of the same run."
    )
