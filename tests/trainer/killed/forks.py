"""Trainings for `tests.forked`: `job.run` with the arguments that it is asked for."""

import os
import tempfile
from pathlib import Path
from typing import Any

from tests.forked import serve
from tests.trainer.killed import job  # torch and the trainer with it, before anything is forked


def run(question: dict[str, Any]) -> int:
    """Train; loader workers are in the process's group, and killed with it."""
    os.setsid()
    job.run(**{**question["arguments"], "folder": Path(question["arguments"]["folder"])})
    return 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:  # what a first fit imports, too
        (Path(folder) / "progress-0").write_bytes(bytes(job.PROGRESS.size))
        job.run(Path(folder), workers=0, rank=0, processes=1, port=0)
    serve(run)
