"""Checkpoint files: plain data only, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pickle
import uuid
import zipfile
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from trainer.errors import CheckpointError, MisconfigurationException, MissingCheckpointError, four_parts
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
    """Write `checkpoint` to `path`: a temporary file beside it, flushed to the disk, then renamed.

    A reader sees the old file or the new one, never a part, also when the machine stops in between.

    Raises:
        CheckpointError: the checkpoint is not plain, or the file system refuses.
    """
    check_plain(checkpoint)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save(checkpoint, file)
            _flush_to_disk(file)
        os.replace(temporary, target)
        flush_directory(target.parent)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {target} could not be written: {error}. The previous file, if any, is untouched. "
            "Check the space left and the rights of the folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # what went wrong above is what matters
            temporary.unlink(missing_ok=True)


def link_checkpoint(existing: str | Path, path: str | Path) -> None:
    """Give the file `existing` the second name `path`, replacing what had it; copies where links are impossible."""
    source, target = Path(existing), Path(path)
    for wait in list(WRITERS):
        wait()
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            with open(source, "rb") as original, open(temporary, "wb") as file:
                while block := original.read(1 << 20):
                    file.write(block)
                _flush_to_disk(file)
        os.replace(temporary, target)
        flush_directory(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


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


def load_plain(path: str | Path, map_location: Any = "cpu") -> Any:  # plain data of any shape
    """Return what the file at `path` holds, read with weights_only=True after its checksums were compared.

    Raises:
        MissingCheckpointError: there is no such file.
        CheckpointError: the file is damaged, or holds more than plain data.
    """
    if not os.path.exists(path):
        raise MissingCheckpointError(f"There is no checkpoint {path}. Correct the path, or start without `ckpt_path`.")
    try:
        # torch does not compare the checksums it writes.
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(f"the checksum of {broken} is wrong")
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"The checkpoint {path} holds more than plain data and is not read, as that could run code: {error}. "
            "Files of this trainer never do; convert it where you trust it, with torch.load(weights_only=False)."
        ) from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(_damaged(path, error)) from error


def load_checkpoint(path: str | Path, map_location: Any = "cpu") -> PlainState:
    """Return the checkpoint at `path`, read as `load_plain` does.

    Raises:
        MissingCheckpointError: there is no such file.
        CheckpointError: the file is damaged, no checkpoint, or holds more than plain data.
    """
    checkpoint = load_plain(path, map_location)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(
            f"The file {path} is no checkpoint: it holds a {type(checkpoint).__name__} without 'state_dict'. "
            "Pass a file that this trainer wrote."
        )
    return checkpoint


def _damaged(path: str | Path, error: BaseException) -> str:
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    return (
        f"The checkpoint {path} ({size} bytes) is damaged or cut short: {error}. "
        "Take an earlier checkpoint of the same run."
    )


def _flush_to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def flush_directory(folder: Path) -> None:
    """Make a rename in `folder` last over a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
