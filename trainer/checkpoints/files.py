"""Checkpoint files: plain data only, written whole or not at all."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainer.checkpoints import places
from trainer.checkpoints.digests import DamagedError, verify, write_with_digest
from trainer.checkpoints.sharded.manifest import is_sharded
from trainer.errors import CheckpointError, CheckpointMissingError, MisconfigurationException, four_parts
from trainer.types import PlainState

FORMAT_KEY = "trainer_format"
FORMAT = 1
WRITERS: list[Callable[[], None]] = []  # each returns when what it is writing is written
_PLAIN_SCALARS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
_PLAIN_TENSORS = (torch.Tensor, torch.nn.Parameter)
_PLAIN_MAPPINGS = (dict, OrderedDict, Counter)
_PLAIN_SEQUENCES = (list, tuple, set)


def find_unplain(value: object, place: str) -> str | None:
    """Return "place: type" of the first part of `value` that a checkpoint must not hold, or None.

    Plain is exactly what `torch.load(weights_only=True)` gives back. Subclasses are not: an enum or a NumPy number
    would need their class imported at load time.
    """
    kind = type(value)
    if kind in _PLAIN_SCALARS or kind in _PLAIN_TENSORS:
        return None
    if kind in _PLAIN_MAPPINGS:
        for key, part in value.items():  # type: ignore[attr-defined]  # the line above says it is a mapping
            found = find_unplain(key, f"{place} key {key!r}") or find_unplain(part, f"{place}[{key!r}]")
            if found is not None:
                return found
        return None
    if kind in _PLAIN_SEQUENCES:
        for index, part in enumerate(value):  # type: ignore[arg-type]  # as above
            found = find_unplain(part, f"{place}[{index}]")
            if found is not None:
                return found
        return None
    return f"{place}: {kind.__module__}.{kind.__qualname__}"


def check_plain(checkpoint: PlainState) -> None:
    """Refuse a checkpoint that could not be read back.

    Raises:
        CheckpointError: some values are not plain; all of them are named.
    """
    problems = [place for key, value in checkpoint.items() if (place := find_unplain(value, key)) is not None]
    if problems:
        raise CheckpointError(
            "A checkpoint holds plain data and tensors only, so that it always loads with weights_only=True. Got "
            f"{'; '.join(problems)}. Return numbers, text, lists, dicts or tensors from `state_dict` and "
            "`on_save_checkpoint`; float(x) turns a NumPy number into a plain one."
        )


def save_checkpoint(checkpoint: PlainState, path: str | Path) -> None:
    """Write `checkpoint` with its digest to `path`: under a temporary name, flushed to the disk, then renamed.

    A reader sees the old file or the new one, never a part, also when the machine stops in between. `path` may be a
    URL that fsspec opens, such as s3://bucket/folder/name.ckpt.

    Raises:
        CheckpointError: the checkpoint is not plain, or the file system refuses.
    """
    check_plain(checkpoint)
    with places.written_whole(places.normal(path)) as file:
        write_with_digest(checkpoint, file)


def link_checkpoint(existing: str | Path, path: str | Path) -> None:
    """Give the file `existing` the second name `path`, replacing what had it; copies where links are impossible.

    Raises:
        CheckpointError: the file system refuses.
    """
    for wait in list(WRITERS):
        wait()
    places.give_second_name(places.normal(existing), places.normal(path))


def remove_checkpoint(path: str | Path) -> None:
    """Remove the file at `path`, if it is there."""
    places.remove(places.normal(path))


def check_weights_only(weights_only: bool | None) -> None:
    """Refuse to read a checkpoint as more than plain data.

    Raises:
        MisconfigurationException: `weights_only` is false.
    """
    if weights_only is False:
        raise MisconfigurationException(
            four_parts(
                "A checkpoint is read as plain data only, as anything else could run code.",
                got="weights_only=False",
                expected="True or None",
                remedy="Leave it out; convert a file that you trust with torch.load(weights_only=False).",
            )
        )


def load_plain(path: str | Path, map_location: Any = "cpu", *, lazily: bool = False) -> Any:  # plain data of any shape
    """Return what the file at `path` holds, read with weights_only=True after its digest was compared.

    A folder is read as a sharded checkpoint, with whole tensors.

    With `lazily` the tensors stay in the file until they are used: a process that takes its share of each needs no
    memory for the whole.

    Raises:
        CheckpointMissingError: there is no such file.
        CheckpointError: the file is damaged, or holds more than plain data.
    """
    path = places.normal(path)
    if is_sharded(path):
        from trainer.checkpoints.sharded.reading import read_folder  # late: it takes a while to import

        return read_folder(Path(path), map_location)
    try:
        with places.local_copy(path) as local:
            return _load_local(local, path, map_location, lazily=lazily and local == str(path))
    except FileNotFoundError as error:
        raise CheckpointMissingError(
            f"There is no checkpoint {path}. Correct the path, or start without `ckpt_path`."
        ) from error


def _load_local(local: str, name: str, map_location: Any, *, lazily: bool) -> Any:  # plain data of any shape
    try:
        verify(local)
        return torch.load(
            local, map_location=map_location, weights_only=True, mmap=lazily and zipfile.is_zipfile(local)
        )
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"The checkpoint {name} holds more than plain data and is not read, as that could run code: {error}. "
            "Files of this trainer never do; convert it where you trust it, with torch.load(weights_only=False)."
        ) from error
    except (DamagedError, RuntimeError, EOFError, OSError, ValueError) as error:
        size = os.path.getsize(local) if os.path.isfile(local) else 0
        raise CheckpointError(
            f"The checkpoint {name} ({size} bytes) is damaged or cut short, or no checkpoint: {error}. "
            "Take an earlier checkpoint of the same run."
        ) from error


def load_checkpoint(path: str | Path, map_location: Any = "cpu", *, lazily: bool = False) -> PlainState:
    """Return the checkpoint at `path`, read as `load_plain` does; from a sharded one's folder, with whole tensors.

    Raises:
        CheckpointMissingError: there is no such file.
        CheckpointError: the file is damaged, no checkpoint, or holds more than plain data.
    """
    checkpoint = load_plain(path, map_location, lazily=lazily)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(
            f"The file {path} is no checkpoint: it holds a {type(checkpoint).__name__} without 'state_dict'. "
            "Pass a file that this trainer wrote."
        )
    return checkpoint
