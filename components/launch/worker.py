"""One process of a job: `python -m components.launch.worker FOLDER MODULE [ARG ...]`, started by torchrun.

Runs the module as `python -m` would; what it raises is kept as a file, so that the first failing process's traceback
can be told from those of the others, whose connections broke because of it.
"""

import os
import runpy
import sys
import time
import traceback
from pathlib import Path

from components.launch.job import PREEMPTED_CODE, RankFailure
from components.launch.leaving import code_of, leave
from components.launch.notices import Notices
from components.launch.processes import die_with_parent

LAUNCHED_VARIABLE = "HOMEROOM_LAUNCHED"
"""Tells the module that a launcher watches its process: it need not watch its parent itself."""


def main() -> None:
    """Run the module that the command line names."""
    die_with_parent()
    folder, module, *args = sys.argv[1:]
    os.environ[LAUNCHED_VARIABLE] = "1"
    sys.argv = [module, *args]
    code, attempt = 0, int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    is_alone = False
    notices = Notices(Path(folder), os.getppid())
    place = int(os.environ.get("LOCAL_RANK", "0"))
    notices.begin(place)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = code_of(end)
        # The trainer's SIGTERMException where an exchange broke: the others do not end after the same batch, and
        # nothing was saved.
        is_alone = not getattr(end, "is_common", True) and int(os.environ.get("WORLD_SIZE", "1")) > 1
        if code not in (0, PREEMPTED_CODE):
            _note(Path(folder), end, f"ended with exit code {end.code}")
    except BaseException as error:
        code = 1
        if late := getattr(error, "late_ranks", ()):  # the trainer's LateRankError
            notices.accuse(late, attempt)
        _note(Path(folder), error, traceback.format_exc())
        sys.excepthook(type(error), error, error.__traceback__)
    if code in (0, PREEMPTED_CODE) and not is_alone:
        notices.end_well(place)
    leave(code)


def _note(folder: Path, error: BaseException, detail: str) -> None:
    RankFailure(
        rank=int(os.environ.get("RANK", "0")),
        attempt=int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
        time_s=time.time(),
        kind=type(error).__name__,
        detail=detail,
    ).write(folder)


if __name__ == "__main__":
    main()
