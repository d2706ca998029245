"""Runs the ingest of scored writing on small files and gives what it published."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from components.artifacts import RawFiles, ScoredWriting
from components.ingest.collect import collect
from components.secrets import SecretKey
from components.stage import Runner
from components.store import Store
from components.writing.ingest.config import WritingIngestConfig
from components.writing.ingest.stage import ingest
from components.writing.schema import PROMPTS, QUARANTINE, REPORT, RESPONSES, STUDENTS

KEY = SecretKey(bytes(range(32)))
ANY = WritingIngestConfig(quarantine_limit=1.0)
Files = Mapping[str, str | bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What ingest published."""

    writing: ScoredWriting
    raw: RawFiles
    folder: Path
    said: tuple[str, ...]

    @property
    def responses(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / RESPONSES)

    @property
    def by_row(self) -> pl.DataFrame:
        """The responses in the order of files and rows."""
        return self.responses.sort("file", "row")

    @property
    def texts(self) -> list[str]:
        return self.by_row["text"].to_list()

    @property
    def students(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / STUDENTS)

    @property
    def prompts(self) -> dict[str, Any]:  # Any: parsed JSON
        return {prompt["prompt"]: prompt for prompt in json.loads((self.folder / PROMPTS).read_text())}

    @property
    def quarantine(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / QUARANTINE)

    @property
    def report(self) -> dict[str, Any]:  # Any: parsed JSON
        value: dict[str, Any] = json.loads((self.folder / REPORT).read_text())
        return value

    @property
    def faults(self) -> list[tuple[int, str | None, str]]:
        """Row, column and reason of each row in quarantine."""
        return list(self.quarantine.select("row", "column", "reason").iter_rows())


def ingest_uris(
    folder: Path,
    uris: Sequence[str],
    config: WritingIngestConfig | None = None,
    test_uris: Sequence[str] = (),
    valid_uris: Sequence[str] = (),
) -> Outcome:
    """Collect and ingest into a store below `folder`."""
    store = Store(folder / "store")
    raw = collect(store, uris, test_uris, valid_uris)
    said: list[str] = []
    run = Runner(store, pseudonym_key=KEY, say=said.append)
    writing = run(ingest, raw, config or WritingIngestConfig())
    return Outcome(writing=writing, raw=raw, folder=store.folder(writing), said=tuple(said))


def ingest_files(
    folder: Path,
    files: Files,
    config: WritingIngestConfig | None = None,
    test_files: Files | None = None,
    valid_files: Files | None = None,
) -> Outcome:
    """Write the files below `folder` and ingest them."""
    paths = [[_written(folder, n, b) for n, b in (part or {}).items()] for part in (files, test_files, valid_files)]
    return ingest_uris(folder, paths[0], config, paths[1], paths[2])


def _written(folder: Path, name: str, body: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    return str(path)
