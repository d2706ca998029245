"""The data and where everything came from: rows in, kept and set apart; digests of the artifacts; versions."""

from dataclasses import dataclass

from flows.reporting.contents import Contents, Plain

COUNTS = (
    ("rows_in", "rows read"),
    ("rows_kept", "kept"),
    ("rows_merged", "merged with others"),
    ("rows_quarantined", "set apart (quarantine)"),
    ("rows_duplicate", "of these, delivered before"),
    ("rows_erased", "left out: of students who were erased"),
    ("students", "students"),
    ("students_with_one_answer", "students with a single answer"),
    ("students_in_several_splits", "students in several splits"),
    ("responses_scored", "responses with a human score"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPart:
    """The section."""

    counts: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]
    """Why rows were set apart, the most frequent first."""
    files: tuple[Plain, ...]
    lineage: tuple[Plain, ...]
    packages: tuple[tuple[str, str], ...]
    """Library and version, of all stages together."""


def data_of(contents: Contents) -> DataPart:
    """Return the section."""
    ingest = contents.ingest
    reasons: dict[str, int] = ingest.get("reasons") or {}
    packages = {
        f"{name} {version}": (name, version) for made in contents.lineage for name, version in made["packages"].items()
    }
    return DataPart(
        counts=tuple((title, ingest[name]) for name, title in COUNTS if isinstance(ingest.get(name), int)),
        reasons=tuple(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
        files=tuple(ingest.get("files") or ()),
        lineage=contents.lineage,
        packages=tuple(sorted(packages.values())),
    )
