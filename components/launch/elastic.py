"""torchrun, which dies with its parent and names failed processes: `python -m components.launch.elastic SPEC.json`."""

import signal
import sys
from pathlib import Path
from typing import Any

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from components.launch.job import RankFailure
from components.launch.processes import die_with_parent
from components.launch.spec import LaunchSpec

MONITOR_S = 0.1
"""How often the processes are looked at."""


def command(spec: LaunchSpec) -> list[str]:
    """Return torchrun's arguments for a job on this machine alone."""
    return [
        "--standalone",
        f"--nproc-per-node={spec.processes_per_node}",
        f"--max-restarts={spec.max_restarts}",
        f"--monitor-interval={MONITOR_S}",
        "--module",
        "components.launch.worker",
        spec.folder,
        spec.module,
        *spec.args,
    ]


def main() -> None:
    """Run the job that the file describes; exit code 1 says that its processes failed."""
    die_with_parent()
    spec = LaunchSpec.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        untyped: Any = torchrun
        untyped.run(untyped.parse_args(command(spec)))
    except ChildFailedError as error:
        _note_the_killed(spec, error)
        sys.exit(1)


def _note_the_killed(spec: LaunchSpec, error: ChildFailedError) -> None:
    """Note the processes that could not tell why they ended."""
    # torchrun ends the others with SIGTERM, and counts that as their failure.
    by_itself = {r: f for r, f in error.failures.items() if f.exitcode != -signal.SIGTERM} or error.failures
    for rank, failure in by_itself.items():
        # One that has told what it raised may still be aborted by a thread of the process group while it ends.
        if failure.exitcode < 0 and not RankFailure.is_noted(spec.place, spec.max_restarts, rank):
            name = signal.Signals(-failure.exitcode).name
            RankFailure(
                rank=rank,
                attempt=spec.max_restarts,  # torchrun tells of the last attempt only
                time_s=failure.timestamp - 1.0,  # seen a moment later; the others' errors followed from it
                kind=name,
                detail=f"process {failure.pid} was killed by {name}",
            ).write(spec.place)


if __name__ == "__main__":
    main()
