"""The training process: `python -m components.train job.json`."""

import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from components.errors import PipelineError
from components.launch.worker import LAUNCHED_VARIABLE
from components.train.fit import fit
from components.train.job import LOCK_FILE, Job
from trainer.errors import SIGTERMException, TrainerError


def main() -> None:
    """Train what the job file says; end with this process's whole group if the parent dies."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m components.train JOB.json")
    is_launched = LAUNCHED_VARIABLE in os.environ  # then the launcher ends this process, and keeps what it raises
    # One rank alone, of all machines, holds the folder.
    if os.environ.get("RANK", "0") != "0":
        fit(Job.read(Path(sys.argv[1])))
        return
    if not is_launched and not sys.stdin.isatty():
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with _alone(Path(sys.argv[1]).parent):
            fit(Job.read(Path(sys.argv[1])))
    except SIGTERMException:
        raise
    except (PipelineError, TrainerError) as error:  # raised on purpose: its message says it all
        if is_launched:
            raise
        sys.stderr.write(f"error: {error}\n")
        sys.exit(getattr(error, "exit_code", 1))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process trains in this folder: one whose parent was killed may take a moment to end."""
    with (folder / LOCK_FILE).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("an earlier training process of this job is still ending; waiting for it", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _end_with_parent() -> None:
    """Wait for the end of standard input, which the parent holds open for as long as it lives."""
    while os.read(0, 1):  # not sys.stdin: its lock must be free when the interpreter ends
        pass
    if os.getpgid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
