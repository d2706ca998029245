"""One machine of a job of several: `python -m components.launch.node SPEC.json --rdzv HOST:PORT`.

A person, SLURM or a test starts it once on every machine. SIGTERM is notice that the machine is needed elsewhere: its
processes save and end, exit code 143, and the other machines go on where they are at least `nodes_min`.
"""

import argparse
import signal
import sys
from pathlib import Path

from components.errors import ConfigError
from components.launch.job import PREEMPTED_CODE, JobState
from components.launch.spec import LaunchSpec
from components.launch.supervisor import Supervisor

EXIT_CODES = {
    JobState.SUCCEEDED: 0,
    JobState.FAILED: 1,
    JobState.PREEMPTED: PREEMPTED_CODE,
    JobState.CANCELLED: 128 + signal.SIGINT,
    JobState.TIMED_OUT: 124,
}
REACH_S = 60.0
"""How long the store may take to be there: machines start at different moments."""


def main() -> None:
    """Run this machine's part of the job of the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m components.launch.node", description=__doc__)
    parser.add_argument("spec", type=Path, help="the job, as LaunchSpec.to_json wrote it; the same on every machine")
    parser.add_argument("--rdzv", required=True, metavar="HOST:PORT", help="where components.launch.meeting listens")
    parser.add_argument("--address", help="by which the other machines reach this one; by default its host name")
    parser.add_argument(
        "--interface", help="network interface for tensors, such as eth0; by default the first that fits"
    )
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    given = parser.parse_args()
    try:
        from components.launch.meeting import begin_run, check_store  # late: it imports torch, and --help should not

        spec = LaunchSpec.from_json(given.spec.read_text(encoding="utf-8"))
        store = check_store(given.rdzv, min(REACH_S, spec.join_timeout_s))
        spec.place.mkdir(parents=True, exist_ok=True)
        begin_run(store, spec.place, REACH_S)
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(getattr(error, "exit_code", 2))
    del store  # torchrun has a connection of its own
    options = ["--rdzv", given.rdzv, *(["--address", given.address] if given.address else [])]
    supervisor = Supervisor(
        spec, given.spec, options=options, interface=given.interface, follows_parent=given.with_parent
    )
    sys.exit(EXIT_CODES[supervisor.run()])


if __name__ == "__main__":
    main()
