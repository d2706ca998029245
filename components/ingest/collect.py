"""Collecting: names of files, folders and patterns -> a handle on raw files, by their contents."""

import contextlib
import hashlib
import posixpath
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from components.artifacts import Lineage, RawFiles, Ref
from components.errors import SchemaError, StoreError
from components.ingest.addresses import secret_in
from components.ingest.opening import open_file_system, read_chunks
from components.ingest.overrides import ROLE, journal_behind, kept, read_journals
from components.places.explaining import reason_for
from components.places.unreachable import BY_CODE
from components.store import Store, raw_identity
from components.tombstones import NONE, read_tombstones

DATA_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson", ".xml")
"""What is taken from a folder, each also with `.gz` behind it. A file that is named itself may end as it likes."""

PURPOSES = {"any": "training", "test": "testing", "valid": "validation"}
"""What the files of a role are for."""


def collect(
    store: Store,
    uris: Sequence[str],
    test_uris: Sequence[str] = (),
    valid_uris: Sequence[str] = (),
    *,
    overrides: Sequence[str] = (),
    record: bool = True,
) -> RawFiles:
    """Return a handle on the files behind `uris`, after reading each once for its digest.

    The files are ordered by role and digest, so that moving or renaming them changes nothing, and stay where they are.

    Args:
        store: records the handle, so that lineage can be walked back to it.
        uris: files, folders (searched through; hidden files and READMEs are left out), patterns with `*`, `?` and
            `[...]` unless a file has just that name, on this machine or at any fsspec URL such as `s3://bucket/logs/`.
            Addresses are recorded, so one that carries a secret is refused, and the message shows its scheme and host
            only.
        test_uris: the same for files that are held out whole for testing.
        valid_uris: the same for files whose students choose the best epoch.
        overrides: folders or files of teachers' overrides (`components/overrides.py`); what they hold now is kept in
            the store, but for those of students who were erased, and is one file of the result.
        record: whether the handle is written to the store; not for a dry run.

    Raises:
        StoreError: nothing to read, a name behind which there is nothing, an address with a secret in it, or a file
            given in several roles; all of them listed, with those of the next kind.
        SchemaError: the files can be read, and some are empty or the same as another; all of them listed.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    problems: list[str] = []
    contents: list[str] = []
    roles: dict[str, str] = {}
    for role, names in (("any", uris), ("test", test_uris), ("valid", valid_uris)):
        for name in names:
            secret = secret_in(name)
            if secret is not None:  # before anything else sees it: errors and records repeat addresses
                problems.append(secret)
                continue
            try:
                found = _expand(name)
            except Exception as error:  # whatever a remote file system raises is about this name
                problems.append(f"{name}: {reason_for(error, 'Check the address and your rights.')}")
                continue
            if not found:
                problems.append(
                    _missing_bucket(name)
                    or f"{name}: no such file, or a folder without data files ({', '.join(DATA_SUFFIXES)}, .gz)"
                )
            for uri in found:
                if roles.setdefault(uri, role) != role:
                    problems.append(
                        f"{uri}: given for {PURPOSES[roles[uri]]} and for {PURPOSES[role]}; leave it out of one"
                    )
    journals = _journals(overrides, problems)
    if not roles and not problems:
        raise StoreError("No files were named: expected at least one file, folder or pattern. Name where the logs are.")
    files: dict[tuple[str, str], tuple[str, int]] = {}
    for uri, role in roles.items():
        try:
            digest, size = _digest(uri)
        except Exception as error:  # as above
            problems.append(f"{uri}: {reason_for(error, 'Check that it can be read.')}")
            continue
        if size == 0:
            contents.append(f"{uri}: the file is empty; deliver it again or leave it out")
            continue
        twin = next((files[key][0] for key in ((kind, digest) for kind in PURPOSES) if key in files), None)
        if twin is not None:
            contents.append(f"{uri}: has the same bytes as {twin}, so its answers would count twice; leave one out")
        files[role, digest] = (uri, size)
    if problems or contents:
        lines = "\n".join(f"  - {p}" for p in (*problems, *contents))
        text = f"{len(problems) + len(contents)} of the named sources cannot be used:\n{lines}"
        raise StoreError(text) if problems else SchemaError(text)
    parents: tuple[str, ...] = ()
    found_overrides = read_journals(journals, read_tombstones(store) if journals else NONE)
    if found_overrides.overrides:
        snapshot, uri, digest = kept(store, found_overrides, record=record)
        files[ROLE, digest] = (uri, snapshot.ref.bytes)
        parents = (snapshot.sha256,)
    ordered = sorted(files)
    digests = tuple(digest for _, digest in ordered)
    kinds = tuple(role for role, _ in ordered)
    identity = raw_identity(digests, kinds)
    raw = RawFiles(
        ref=Ref(
            uri=f"{store.url}/artifacts/{identity}",
            sha256=identity,
            bytes=sum(size for _, size in files.values()),
            media_type="application/vnd.homeroom.RawFiles",
        ),
        lineage=Lineage(stage="collect", started_utc=started, parents=parents),
        uris=tuple(files[key][0] for key in ordered),
        digests=digests,
        roles=kinds,
    )
    return store.register(raw) if record else raw


def local_files(names: Sequence[str]) -> list[Path]:
    """Return the files of this machine behind `names`; names that cannot be used are left for `collect` to tell of."""
    found: list[str] = []
    for name in names:
        if "://" in name and not name.startswith(("file://", "local://")):
            continue
        with contextlib.suppress(OSError, ValueError):
            found += _expand(name)
    return [Path(path) for path in found]


def _journals(names: Sequence[str], problems: list[str]) -> list[str]:
    """Return the journals of overrides behind names; what is wrong with one is added to `problems`."""
    found = []
    for name in names:
        secret = secret_in(name)
        if secret is not None:
            problems.append(secret)
            continue
        try:
            uri = journal_behind(name)
        except Exception as error:  # whatever a remote file system raises is about this name
            problems.append(f"{name}: {reason_for(error, 'Check the address and your rights.')}")
            continue
        if uri is None:
            problems.append(f"{name}: no file of overrides, and no folder with one (overrides.jsonl)")
        else:
            found.append(uri)
    return found


def _expand(name: str) -> list[str]:
    file_system, path, is_local = open_file_system(name)
    if file_system.isfile(path):
        found = [path]
    elif file_system.isdir(path):
        root = path.rstrip("/")
        found = [p for p in file_system.find(root) if _is_data(p.removeprefix(root))]
    elif any(c in path for c in "*?["):
        wants_hidden = posixpath.basename(path).startswith(".")
        found = [
            p
            for p in file_system.glob(path)
            if (wants_hidden or not posixpath.basename(p).startswith(".")) and file_system.isfile(p)
        ]
    else:
        found = []
    inside, sign, archive = name.partition("::")
    behind = sign + archive if "://" in inside else ""  # zip://*.csv::logs.zip: what is found is in the archive still
    return sorted(p if is_local else file_system.unstrip_protocol(p) + behind for p in found)


def _missing_bucket(name: str) -> str | None:
    """Return what is wrong where a bucket is missing: S3 answers as if only the object were."""
    if not name.startswith(("s3://", "s3a://")):
        return None
    file_system, path, _ = open_file_system(name)
    bucket = path.partition("/")[0]
    try:
        is_there = bool(file_system.exists(bucket))
    except Exception:  # no right to look at the bucket itself says nothing of it
        is_there = True
    return None if is_there else f"{name}: {BY_CODE['NoSuchBucket']}"


def _is_data(below_folder: str) -> bool:
    parts = below_folder.strip("/").split("/")
    name = parts[-1].lower()
    if any(p.startswith((".", "_")) for p in parts) or posixpath.splitext(name)[0].startswith("readme"):
        return False
    return name.removesuffix(".gz").endswith(DATA_SUFFIXES)


def _digest(uri: str) -> tuple[str, int]:
    state, size = hashlib.sha256(), 0
    for chunk in read_chunks(uri):
        state.update(chunk)
        size += len(chunk)
    return state.hexdigest(), size
