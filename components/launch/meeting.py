"""The store that several machines meet at: `python -m components.launch.meeting --port 29400`.

It belongs to no machine of the job, so that any of them may join and leave. It needs a few megabytes, and a place that
stays: the machine that submits, or a login node.
"""

import argparse
import os
import socket
import sys
import threading
from datetime import timedelta

from torch._C._distributed_c10d import TCPStore  # torch.distributed hides it from type checkers
from torch.distributed import DistNetworkError

from components.errors import ConfigError
from components.launch.processes import die_with_parent

PORT = 29400
REACH_S = 5.0


def host_store(port: int) -> TCPStore:
    """Return a new store that listens on all addresses of this machine; it lives as long as the object.

    Args:
        port: 0 for any that is free.

    Raises:
        ConfigError: the port is taken.
    """
    try:
        # `multi_tenant`, as in torchrun's own; the host's name is not looked up to listen.
        return TCPStore("localhost", port, is_master=True, wait_for_workers=False, multi_tenant=True)
    except (DistNetworkError, RuntimeError) as error:
        raise ConfigError(
            f"The machines of a job cannot meet at port {port} of {socket.gethostname()}: it is taken "
            f"({str(error).splitlines()[0]}). Expected a port that no other program listens on. Pass another with "
            "--port, and the same to every machine's --rdzv."
        ) from error


def check_store(rdzv: str, within_s: float) -> None:
    """See that the store can be reached.

    Args:
        rdzv: HOST:PORT.
        within_s: how long it may take to be there.

    Raises:
        ConfigError: it is no address, or nobody answers there.
    """
    host, _, port = rdzv.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--rdzv={rdzv!r} is no place to meet. Expected HOST:PORT, e.g. 10.0.0.1:{PORT}.")
    try:
        TCPStore(host, int(port), is_master=False, timeout=timedelta(seconds=within_s))
    except (DistNetworkError, RuntimeError) as error:
        raise ConfigError(
            f"Nobody answers at {rdzv}, where the machines are to meet, within {within_s:g} s "
            f"({str(error).splitlines()[0]}). Expected a store. Start `python -m components.launch.meeting --port "
            f"{port}` there, or correct --rdzv; look at firewalls."
        ) from error


def main() -> None:
    """Hold a store until this process is ended, or its standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m components.launch.meeting", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="0 for any that is free")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one ends")
    given = parser.parse_args()
    if given.with_parent:
        die_with_parent()
    try:
        store = host_store(given.port)
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(f"machines can meet at port {store.port} of {socket.gethostname()} (process {os.getpid()})\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
