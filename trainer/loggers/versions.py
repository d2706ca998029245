"""Numbers of runs: the first free `version_n` in the folder of an experiment."""

from __future__ import annotations

import re
from pathlib import Path

from trainer.checkpoints.places import folders_in


def next_version(folder: str | Path) -> int:
    """Return one more than the highest number among the folders `version_n` in `folder`, 0 where there is none."""
    found = [re.fullmatch(r"version_(\d+)", name) for name in folders_in(folder)]
    return max((int(match[1]) for match in found if match), default=-1) + 1
