"""Files that commands write beside the store: refused before anything runs where they could not be written."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.errors import ConfigError, StoreError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(//|$)")
"""Also what is left of an address in a `Path`, whose first part then is `s3:`."""


def check_output(out: str | Path, suffixes: Sequence[str]) -> Path:
    """Return where to write, after a look at the name and at the folder; nothing is written.

    Args:
        out: a file on this machine; its folder need not be there.
        suffixes: how its name may end.

    Raises:
        ConfigError: it is an address, or ends in another way.
        StoreError: it is a folder, or its folder cannot be written to.
    """
    path = Path(out)
    if "://" in str(out) or (path.parts and _URL.fullmatch(path.parts[0])):
        raise ConfigError(
            f"--out {out} is an address; expected a file on this machine. Write it to a folder here, then copy it with "
            "a tool of that place."
        )
    if path.suffix not in suffixes:
        raise ConfigError(f"--out {path.name} ends with {path.suffix!r}; expected {' or '.join(suffixes)}. Rename it.")
    if path.is_dir():
        raise StoreError(f"--out {out} is a folder; expected a file to write. Name a file in it.")
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise could_not_write(path, error) from error
    return path


def could_not_write(out: Path, error: OSError) -> StoreError:
    """Return the error to raise where `out` cannot be written."""
    return StoreError(
        f"{out} could not be written ({error.strerror or type(error).__name__}); expected a file in a folder that "
        "you may write, with room on its disk. Name another with --out."
    )
