"""Numbers of runs: the first free `version_n` in the folder of an experiment."""

from __future__ import annotations

import re
from pathlib import Path


def next_version(folder: str | Path) -> int:
    """Return one more than the highest number among the folders `version_n` in `folder`, 0 where there is none."""
    folder = Path(folder)
    entries = list(folder.iterdir()) if folder.is_dir() else []
    found = [re.fullmatch(r"version_(\d+)", entry.name) for entry in entries if entry.is_dir()]
    return max((int(match[1]) for match in found if match), default=-1) + 1
