"""Where files are: in folders of this machine, or behind a URL that fsspec opens.

A file appears under its name when it is whole: it is written under a temporary name beside it first. The temporary name
says which process writes, so that what a killed one left is found and removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from trainer.checkpoints.renaming import TEMPORARY, bring_back, destroy, discard, flush_folder, put_in_place
from trainer.checkpoints.sharded.manifest import NAME as MANIFEST
from trainer.errors import CheckpointError, MisconfigurationException, four_parts

_LEFT_OVER = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]+)-(?P<pid>\d+)-[0-9a-f]{32}\.tmp")
_LEFT_OVER_FOLDER = re.compile(re.escape(TEMPORARY) + r"\d+-(?P<host>[^.]+)-(?P<pid>\d+)-[0-9a-f]{32}")

_FRESH_S = 3600.0


def is_remote(path: str | Path) -> bool:
    """Return whether `path` is a URL of a place other than this machine's folders."""
    return isinstance(path, str) and "://" in path and not path.startswith(("file://", "local://"))


def normal(path: str | Path) -> str:
    """Return `path` as text, a URL of this machine's folders as the path in it."""
    text = os.fspath(path)
    for scheme in ("file://", "local://"):
        text = text.removeprefix(scheme)
    return text


def join(folder: str | Path, *names: str) -> str:
    """Return the path of something in `folder`."""
    if is_remote(folder):
        return "/".join([str(folder).rstrip("/"), *filter(None, names)])
    return str(Path(folder, *names))


def name_of(path: str | Path) -> str:
    """Return the last part of `path`."""
    return str(path).rpartition("/")[2] if is_remote(path) else Path(path).name


def folder_of(path: str | Path) -> str:
    """Return `path` without its last part."""
    return str(path).rpartition("/")[0] if is_remote(path) else str(Path(path).parent)


def exists(path: str | Path) -> bool:
    """Return whether there is a file, or a folder that is a checkpoint."""
    if not is_remote(path):
        return Path(path).is_file() or Path(path, MANIFEST).is_file()
    with _explained(path, "could not be looked for"):
        files, inside = _opened(path)
        files.invalidate_cache()
        return bool(files.isfile(inside))


def remove(path: str | Path) -> None:
    """Remove a file, or a checkpoint folder whole, if it is there."""
    if not is_remote(path):
        discard(Path(path), Path(path).with_name(temporary_folder()))
        return
    with _explained(path, "could not be removed"):
        files, inside = _opened(path)
        files.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(inside)


def files_in(folder: str | Path, extension: str = "") -> list[tuple[str, float]]:
    """Return the files of a folder whose names end with `extension`, and when each was changed last; by name."""
    if not is_remote(folder):
        root = Path(folder)
        found = [path for path in root.iterdir() if path.is_file()] if root.is_dir() else []
        return sorted((str(path), path.stat().st_mtime_ns / 1e9) for path in found if path.name.endswith(extension))
    with _explained(folder, "could not be listed"):
        files, inside = _opened(folder)
        files.invalidate_cache()
        try:
            entries = files.ls(inside, detail=True)
        except FileNotFoundError:
            return []
        listed = [entry for entry in entries if entry["type"] == "file" and entry["name"].endswith(extension)]
        return sorted((join(folder, entry["name"].rpartition("/")[2]), _changed(files, entry)) for entry in listed)


def _changed(files: Any, entry: dict[str, Any]) -> float:
    """Return when an object was changed last, as its listing says; only where it does not, the object is asked."""
    for name in ("LastModified", "mtime", "created"):
        said = entry.get(name)
        if isinstance(said, datetime):
            return said.timestamp()
        if isinstance(said, int | float):
            return float(said)
    return float(files.modified(entry["name"]).timestamp())


def folders_with_times(folder: str | Path, extension: str) -> list[tuple[str, float]]:
    """Return the folders whose names end so, whole checkpoints or not, and when each was completed; by name."""
    if is_remote(folder) or not Path(folder).is_dir():
        return []
    found = [path for path in Path(folder).iterdir() if path.is_dir() and path.name.endswith(extension)]
    found = [path for path in found if not path.name.startswith(".")]
    dated = [(path, path / MANIFEST if (path / MANIFEST).is_file() else path) for path in found]
    return sorted((str(path), date.stat().st_mtime_ns / 1e9) for path, date in dated)


def folders_in(folder: str | Path) -> list[str]:
    """Return the names of the folders in a folder, sorted."""
    if not is_remote(folder):
        root = Path(folder)
        return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    with _explained(folder, "could not be listed"):
        files, inside = _opened(folder)
        files.invalidate_cache()
        try:
            entries = files.ls(inside, detail=True)
        except FileNotFoundError:
            return []
        return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory")


# Writing


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[BinaryIO]:
    """Give a file to write to; `path` is replaced when the block ends, and stays as it was where it fails.

    Raises:
        CheckpointError: the file system refuses.
    """
    if is_remote(path):
        with tempfile.NamedTemporaryFile(prefix="trainer-") as local:
            yield local  # type: ignore[misc]  # a file, in all but name
            local.flush()
            upload(local.name, str(path))
        return
    place = Path(path)
    temporary = place.with_name(_temporary_name(place.name))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, place)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {place} could not be written: {error}. The previous file, if any, is untouched. "
            "Check the space left and the rights of the folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # what went wrong above is what matters
            temporary.unlink(missing_ok=True)


def give_second_name(existing: str | Path, path: str | Path) -> None:
    """Give the file `existing` the second name `path`, replacing what had it; a copy where there are no links.

    Raises:
        CheckpointError: the file system refuses.
    """
    if is_remote(path):
        with _explained(path, "could not be written"):
            files, inside = _opened(path)
            files.invalidate_cache()
            _appear(files, inside, lambda temporary: files.cp_file(_opened(existing)[1], temporary))
        return
    source, target = Path(existing), Path(path)
    if source.is_dir():
        _link_folder(source, target)
        return
    temporary = target.with_name(_temporary_name(target.name))
    try:
        os.link(source, temporary)
        put_in_place(temporary, target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        with written_whole(target) as file, open(source, "rb") as original:
            shutil.copyfileobj(original, file, 1 << 20)


def _link_folder(source: Path, target: Path) -> None:
    temporary = target.with_name(temporary_folder())
    try:
        temporary.mkdir(parents=True)
        for file in source.iterdir():
            try:
                os.link(file, temporary / file.name)
            except OSError:
                with open(file, "rb") as original, open(temporary / file.name, "wb") as copy:
                    shutil.copyfileobj(original, copy, 1 << 20)
                    copy.flush()
                    os.fsync(copy.fileno())
        flush_folder(temporary)
        put_in_place(temporary, target)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {target} could not be written: {error}. The previous one, if any, is untouched. "
            "Check the space left and the rights of the folder."
        ) from error
    finally:
        if temporary.exists():
            destroy(temporary)


def upload(local: str, url: str) -> None:
    """Put a local file in place behind a URL.

    Raises:
        CheckpointError: it is refused, or less arrived than was sent.
    """
    size = os.path.getsize(local)
    with _explained(url, "could not be written"):
        files, target = _opened(url)

        def put(temporary: str) -> None:
            files.put_file(local, temporary)
            files.invalidate_cache()
            arrived = files.info(temporary)["size"]
            if arrived != size:
                raise OSError(f"{arrived} of {size} bytes arrived")

        _appear(files, target, put)


@contextlib.contextmanager
def local_copy(path: str | Path) -> Iterator[str]:
    """Give the path of a file of this machine with what is at `path`: the file itself, or a copy for the block.

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: it cannot be fetched.
    """
    if not is_remote(path):
        yield os.fspath(path)
        return
    with tempfile.TemporaryDirectory(prefix="trainer-") as folder:
        local = os.path.join(folder, "fetched")
        with _explained(path, "could not be fetched"):
            files, inside = _opened(path)
            files.invalidate_cache()
            files.get_file(inside, local)
        yield local


def remove_left_overs(folder: str | Path) -> None:
    """Remove the temporary files and folders in a folder whose writer, a process of this machine, is dead.

    Processes in another container may have this machine's name and not be seen from here, so that what was written
    within the last hour stays. A folder that such a writer had moved aside gets its name back.
    """
    host, before = _host(), time.time() - _FRESH_S
    for path, changed in files_in(folder, ".tmp"):
        found = _LEFT_OVER.fullmatch(name_of(path))
        if found is not None and found["host"] == host and changed < before and not _lives(int(found["pid"])):
            remove(path)
    if is_remote(folder):
        return
    bring_back(Path(folder))
    for left in Path(folder).glob(f"{TEMPORARY}*"):
        found = _LEFT_OVER_FOLDER.fullmatch(left.name)
        is_old = found is not None and left.stat().st_mtime < before
        if found is not None and is_old and found["host"] == host and not _lives(int(found["pid"])):
            destroy(left)


# Parts


def _host() -> str:
    return socket.gethostname().replace(".", "_") or "host"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _temporary_name(name: str) -> str:
    return f".{name}.{_host()}-{os.getpid()}-{uuid.uuid4().hex}.tmp"


def temporary_folder(step: int = 0) -> str:
    """Return the name of a folder that is not complete; it says which process writes, as that of a file does."""
    return f"{TEMPORARY}{step}-{_host()}-{os.getpid()}-{uuid.uuid4().hex}"


def _appear(files: Any, target: str, write: Callable[[str], None]) -> None:
    """Let `write` make a temporary object beside `target`, and move it there."""
    folder, _, name = target.rpartition("/")
    temporary = f"{folder}/{_temporary_name(name)}"
    try:
        write(temporary)
        files.mv(temporary, target)
    except BaseException:
        with contextlib.suppress(Exception):  # what went wrong above is what matters
            files.rm_file(temporary)
        raise
    finally:
        files.invalidate_cache()


def _opened(url: str | Path) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Raises:
        ImportError: what opens such URLs is not installed.
        MisconfigurationException: nothing opens such URLs.
    """
    try:
        import fsspec  # late: most runs write to folders
    except ImportError as error:
        raise ImportError(f"{url} is opened with fsspec. Install it with `pip install fsspec`.") from error
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(str(url))
    except ImportError as error:
        raise ImportError(f"{url} cannot be opened: {error}. Install it with pip, then start again.") from error
    except ValueError as error:
        raise MisconfigurationException(
            four_parts(
                f"Nothing opens this URL: {error}.",
                got=str(url),
                expected="a path, or a URL that fsspec knows, such as s3://bucket/folder",
                remedy="Correct it.",
            )
        ) from error
    return found


@contextlib.contextmanager
def _explained(url: str | Path, what: str) -> Iterator[None]:
    """Say which object it was that a file system failed with."""
    try:
        yield
    except (FileNotFoundError, ImportError, MisconfigurationException, CheckpointError) as error:
        if isinstance(error, FileNotFoundError) and what != "could not be fetched":
            raise CheckpointError(f"{url} {what}: there is no such bucket or folder. Create it first.") from error
        raise
    except Exception as error:  # each file system has its own kinds
        said = str(error) or "no answer"
        raise CheckpointError(
            f"The object {url} {what}: {type(error).__name__}: {said}. What was there before is untouched. "
            "Check the name, the credentials and that the server can be reached, then start again with the same call."
        ) from error
