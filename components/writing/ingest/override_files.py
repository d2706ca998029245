"""Files of teachers' overrides among the raw files of a run."""

from dataclasses import dataclass

from components.errors import SchemaError
from components.ingest.files import RawFile
from components.overrides import Override, parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideFile:
    """The overrides of one raw file."""

    digest: str
    overrides: tuple[Override, ...]
    index: int


def read_override_file(file: RawFile) -> OverrideFile:
    """Return the overrides in a raw file.

    Raises:
        SchemaError: lines of it are none.
    """
    found = parsed(file.path.read_bytes())
    if found.damaged:
        raise SchemaError(
            f"{file.name} holds {found.damaged} line(s) that are no overrides; expected the snapshot that collecting "
            "makes, without any. Collect again."
        )
    return OverrideFile(digest=file.digest, overrides=found.overrides, index=file.index)
