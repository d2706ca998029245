"""torchrun, which dies with its parent and names failed processes: `python -m components.launch.elastic SPEC.json`.

With `--rdzv HOST:PORT` it is one of several machines, which meet at a store there.
"""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import (
    RendezvousClosedError,
    RendezvousConnectionError,
    RendezvousTimeoutError,
)

from components.launch.job import PREEMPTED_CODE, RankFailure
from components.launch.leaving import code_of, leave
from components.launch.notices import Late, Notices
from components.launch.processes import die_with_parent
from components.launch.spec import LaunchSpec

MONITOR_S = 0.1
"""How often the processes are looked at."""
JOB_NAME = "homeroom"
LAST_CALL_S = 3
"""How long further machines may still join once there are enough."""
HEARTBEAT_S = 1
HEARTBEATS_MISSED = 3


def command(spec: LaunchSpec, rdzv: str | None = None, address: str | None = None) -> list[str]:
    """Return torchrun's arguments for a job on this machine alone, or as one of several.

    Args:
        spec: the job.
        rdzv: HOST:PORT of the store that the machines meet at; None for this machine alone.
        address: by which the others reach this machine; None asks its resolver.
    """
    return [
        *(["--standalone"] if rdzv is None else _meeting(spec, rdzv, address)),
        f"--nproc-per-node={spec.processes_per_node}",
        f"--max-restarts={spec.max_restarts}",
        f"--monitor-interval={MONITOR_S}",
        *_grace(spec),
        "--module",
        "components.launch.worker",
        spec.folder,
        spec.module,
        *spec.args,
    ]


def _meeting(spec: LaunchSpec, rdzv: str, address: str | None) -> list[str]:
    settings = {
        "is_host": 0,  # no machine of the job holds the store, so that any may leave
        "join_timeout": max(1, round(spec.join_timeout_s)),
        "last_call_timeout": LAST_CALL_S,
        "keep_alive_interval": HEARTBEAT_S,
        "keep_alive_max_attempt": HEARTBEATS_MISSED,
    }
    return [
        f"--nnodes={spec.nodes_min}:{spec.nodes_max}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={rdzv}",
        f"--rdzv-id={JOB_NAME}",
        f"--rdzv-conf={','.join(f'{name}={value}' for name, value in settings.items())}",
        *([] if address is None else [f"--local-addr={address}"]),
    ]


def _grace(spec: LaunchSpec) -> list[str]:
    untyped: Any = torchrun
    known = untyped.get_args_parser()._option_string_actions
    return [f"--shutdown-timeout={max(1, round(spec.grace_s))}"] if "--shutdown-timeout" in known else []


def main() -> None:
    """Run the job that the file describes; exit code 1 says that its processes failed, 143 that they made room."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("spec", type=Path)
    parser.add_argument("--rdzv")
    parser.add_argument("--address")
    given = parser.parse_args()
    spec = LaunchSpec.from_json(given.spec.read_text(encoding="utf-8"))
    notices = Notices(spec.place)
    notices.clear()
    late_before = notices.late()
    try:
        untyped: Any = torchrun
        untyped.run(untyped.parse_args(command(spec, given.rdzv, given.address)))
    except SignalException as asked:  # it has passed the signal on to its processes and waited for them
        is_notice = asked.sigval == signal.SIGTERM and notices.ended_well()
        sys.exit(PREEMPTED_CODE if is_notice else 1)
    except ChildFailedError as error:
        if all(failure.exitcode == PREEMPTED_CODE for failure in error.failures.values()):
            sys.exit(PREEMPTED_CODE)
        _note_the_killed(spec, error, notices, late_before)
        sys.exit(1)
    except (RendezvousTimeoutError, RendezvousConnectionError, RendezvousClosedError) as error:
        told = _meeting_failed(spec, given.rdzv, error)
        sys.stderr.write(f"error: {told}\n")
        RankFailure(
            rank=-1, attempt=spec.max_restarts, time_s=time.time(), kind=type(error).__name__, detail=told
        ).write(spec.place)
        sys.exit(1)


def _meeting_failed(spec: LaunchSpec, rdzv: str | None, error: Exception) -> str:
    if isinstance(error, RendezvousTimeoutError):
        return (
            f"Not enough machines met at {rdzv} within {spec.join_timeout_s:g} s. Got fewer than {spec.nodes_min}; "
            f"expected {spec.nodes_min} to {spec.nodes_max}. Start `python -m components.launch.node` on the others "
            "too, look at firewalls between them, and have their clocks set alike; or lower nodes_min."
        )
    if isinstance(error, RendezvousClosedError):
        return (
            f"The job that meets at {rdzv} has ended on the other machines. Got one that came late or lost touch; "
            "expected one of a running job. Look at what the others say; begin all of them again with a new store."
        )
    return (
        f"The store at {rdzv} cannot be reached (any more): {error}. Got no connection; expected what "
        "`python -m components.launch.meeting` keeps there until all machines have ended. Start it, or correct the "
        "address; the job goes on from its last checkpoint when it is begun again."
    )


def _note_the_killed(spec: LaunchSpec, error: ChildFailedError, notices: Notices, late_before: Late) -> None:
    """Note the processes that could not tell why they ended."""
    # torchrun ends the others with SIGTERM, and counts that as their failure.
    asked = (-signal.SIGTERM, PREEMPTED_CODE)
    by_itself = {r: f for r, f in error.failures.items() if f.exitcode not in asked} or error.failures
    late = {int(rank) for _, rank in notices.accused(late_before)}  # killed because others had waited for them in vain
    for rank, failure in by_itself.items():
        # One that has told what it raised may still be aborted by a thread of the process group while it ends.
        if failure.exitcode < 0 and rank not in late and not RankFailure.is_noted(spec.place, spec.max_restarts, rank):
            name = signal.Signals(-failure.exitcode).name
            RankFailure(
                rank=rank,
                attempt=spec.max_restarts,  # torchrun tells of the last attempt only
                time_s=failure.timestamp - 1.0,  # seen a moment later; the others' errors followed from it
                kind=name,
                detail=f"process {failure.pid} was killed by {name}",
            ).write(spec.place)


if __name__ == "__main__":
    try:
        main()
    except SystemExit as end:
        leave(code_of(end))
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        leave(1)
    leave(0)
