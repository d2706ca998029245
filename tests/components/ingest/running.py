"""Runs the ingest stage on small files and gives what it published."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from components.artifacts import RawFiles, StudentLogs
from components.ingest.collect import collect
from components.ingest.config import IngestConfig
from components.ingest.stage import ingest
from components.schema import INTERACTIONS, QUARANTINE, REPORT, SKILL_SETS, STUDENTS
from components.secrets import SecretKey
from components.stage import Runner
from components.store import Store

KEY = SecretKey(bytes(range(32)))
ALL_MAY_FAIL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What ingest published."""

    logs: StudentLogs
    raw: RawFiles
    folder: Path
    said: tuple[str, ...]

    @property
    def interactions(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / INTERACTIONS)

    @property
    def skill_sets(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / SKILL_SETS)

    @property
    def students(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / STUDENTS)

    @property
    def quarantine(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / QUARANTINE)

    @property
    def report(self) -> dict[str, Any]:  # Any: parsed JSON
        value: dict[str, Any] = json.loads((self.folder / REPORT).read_text())
        return value

    @property
    def skills(self) -> list[list[str]]:
        """The set of skills of each interaction."""
        sets = self.skill_sets["skills"].to_list()
        return [sets[i] for i in self.interactions["skill_set"].to_list()]

    @property
    def faults(self) -> list[tuple[int, str | None, str]]:
        """Row, column and reason of each row in quarantine."""
        return list(self.quarantine.select("row", "column", "reason").iter_rows())


def ingest_uris(
    folder: Path,
    uris: list[str],
    config: IngestConfig | None = None,
    test_uris: list[str] | None = None,
    valid_uris: list[str] | None = None,
) -> Outcome:
    """Collect and ingest into a store below `folder`."""
    store = Store(folder / "store")
    raw = collect(store, uris, test_uris or [], valid_uris or [])
    said: list[str] = []
    run = Runner(store, pseudonym_key=KEY, say=said.append)
    logs = run(ingest, raw, config or IngestConfig())
    return Outcome(logs=logs, raw=raw, folder=store.folder(logs), said=tuple(said))


def ingest_files(
    folder: Path,
    files: Mapping[str, str | bytes],
    config: IngestConfig | None = None,
    test_files: Mapping[str, str | bytes] | None = None,
    valid_files: Mapping[str, str | bytes] | None = None,
) -> Outcome:
    """Write the files below `folder` and ingest them."""
    paths = [_written(folder, n, b) for n, b in files.items()]
    test_paths = [_written(folder, n, b) for n, b in (test_files or {}).items()]
    valid_paths = [_written(folder, n, b) for n, b in (valid_files or {}).items()]
    return ingest_uris(folder, paths, config, test_paths, valid_paths)


def _written(folder: Path, name: str, body: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    return str(path)
