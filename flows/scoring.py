"""Batch scoring: whole logs answered with a release, into a Parquet or CSV file."""

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import polars as pl

from components.app import Application, load_application
from components.artifacts import Artifact, Release
from components.config import make_config
from components.errors import ArtifactMissingError, ConfigError
from components.ingest.collect import collect, local_files
from components.stage import StageEvent
from components.store import Store
from flows.grades import GradesFile
from flows.operations import make_runner
from flows.outputs import check_output, could_not_write
from flows.releases import take_release
from flows.settings import Settings
from serving.bundle import load_bundle

SUFFIXES = (".parquet", ".csv")
SECTION = "ingest."


def score_logs(
    release: str,
    data: Sequence[str],
    out: str | Path,
    which: str,
    settings: Settings,
    *,
    config: str | None = None,
    overrides: Sequence[str] = (),
    grades: str | Path | None = None,
    grades_as: Mapping[str, str] | None = None,
    observe: Callable[[StageEvent], None] = lambda event: None,
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Write one answer per step (or per student) to `out` and return how many.

    Args:
        release: a version, its beginning, or an application's name.
        data: files, folders, patterns or URLs of logs.
        out: what to write; an older file is replaced once all answers are there.
        which: `all` steps, or each student's `last`.
        settings: where and with whose keys.
        config: a configuration of the application, or the path of a TOML file, that says how to read the logs; None:
            as the logs were read that the release was made from.
        overrides: `ingest.key=value`.
        grades: a .csv file of grades that a learning management system imports; None: none.
        grades_as: `lms`, `assignment` and `grade` of `flows.grades.GradesFile`.
        observe: called with every event of a stage.
        say: shows one line of progress.

    Raises:
        ConfigError: `out` is an address, ends with neither .parquet nor .csv, or is one of the logs; or the
            configuration is wrong.
        PipelineError: the release is not there or not whole, the logs cannot be read, or `out` cannot be written.
    """
    out = check_output(out, SUFFIXES)
    _check_not_read(out, data)
    store = settings.open_store()
    found = take_release(store, release)
    application = load_application(found.application)
    reading = ingest_config(store, found, application, config, overrides)
    bundle = load_bundle(store.folder(found), settings.trusted_keys(), threads=os.cpu_count() or 1)
    wanted = None
    if grades is not None:
        wanted = GradesFile.checked(grades, application, bundle, **(grades_as or {}))
        _check_not_read(wanted.path, data, "--grades")
    if application.kind.unscored:
        reading = application.kind.part(application.kind.unscored)(reading)
    runner = make_runner(settings, application, store, observe=observe, say=say)
    raw = collect(store, data)
    logs = runner(application.kind.stage("ingest"), raw, reading)
    say(f"answering {logs.rows} rows")
    table: pl.DataFrame = application.part(application.scorer)(
        store.folder(logs), bundle.codec, bundle.session.run, which
    )
    made = wanted.table(table, store, raw, reading, bundle) if wanted is not None else ""
    _write(table.with_columns(pl.lit(found.version).alias("release")), out)
    if wanted is not None:
        _write(made, wanted.path)
    return table.height


def _check_not_read(out: Path, data: Sequence[str], option: str = "--out") -> None:
    """Refuse to overwrite a log, by whatever name or link it is given.

    Raises:
        ConfigError: `out` is one of the files behind `data`.
    """
    if out.exists() and any(log.samefile(out) for log in local_files(data) if log.exists()):
        raise ConfigError(
            f"{option} {out} is one of the logs that --data names, and would be overwritten; expected a file that is "
            f"none of them. Name another with {option}, outside the folders and patterns of --data."
        )


def ingest_config(
    store: Store, release: Release, application: Application, config: str | None, overrides: Sequence[str]
) -> Any:  # the configuration class of the application's ingest stage
    """Return how logs are read: as `config` says, or as they were for the release; then with `overrides`.

    Raises:
        ConfigError: no such configuration, something in it is wrong, or an override is not about `ingest`.
        ArtifactMissingError: the release's logs are no longer known and `config` is None.
    """
    strange = [text for text in overrides if not text.strip().startswith(SECTION)]
    if strange:
        listed = ", ".join(repr(text) for text in strange)
        raise ConfigError(
            f"--set {listed} changes nothing here: a release is fixed, and scoring only reads logs. Expected "
            f"{SECTION}key=value; leave the others out."
        )
    if config is not None:
        return application.configuration(config, overrides).ingest
    values = _ingested(store, release).lineage.config
    own = [text.strip().removeprefix(SECTION) for text in overrides]
    kind = get_type_hints(application.config)["ingest"]
    return make_config(kind, values, own, source=f"the ingest configuration of {release.version}")


def _ingested(store: Store, release: Release) -> Artifact:
    """Return what ingest made the release from: the first on the way back along its lineage."""
    waiting, seen = list(release.lineage.parents), set[str]()
    try:
        while waiting:
            sha256 = waiting.pop(0)
            if sha256 in seen:
                continue
            seen.add(sha256)
            artifact = store.find(sha256)
            if artifact.lineage.stage == "ingest":
                return artifact
            waiting += artifact.lineage.parents
    except ArtifactMissingError as error:
        raise _no_logs(store, release) from error
    raise _no_logs(store, release)


def _no_logs(store: Store, release: Release) -> ArtifactMissingError:
    return ArtifactMissingError(
        f"How the logs of {release.version} were read is not in {store.url}: its lineage leads to no ingest. "
        "Say how to read yours with --config NAME_OR_TOML."
    )


def _write(table: pl.DataFrame | str, out: Path) -> None:
    """Write to a name of its own, then rename, so that no half file is ever taken for a whole one.

    Raises:
        StoreError: the place can no longer be written.
    """
    part: Any = out.with_name(f".{out.name}.{uuid.uuid4().hex}.part")  # Any: polars types its targets narrowly
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(table, str):
            part.write_text(table, encoding="utf-8", newline="")
        elif out.suffix == ".csv":
            table.write_csv(part)
        else:
            table.write_parquet(part)
        part.replace(out)
    except OSError as error:
        raise could_not_write(out, error) from error
    finally:
        part.unlink(missing_ok=True)
