"""The store that several machines meet at: `python -m components.launch.meeting --port 29400`.

It belongs to no machine of the job, so that any of them may join and leave. It needs a few megabytes, and a place that
stays: the machine that submits, or a login node.
"""

import argparse
import contextlib
import os
import socket
import sys
import threading
import uuid
from datetime import timedelta
from pathlib import Path

from torch._C._distributed_c10d import TCPStore  # torch.distributed hides it from type checkers
from torch.distributed import DistNetworkError, DistStoreError

from components.errors import ConfigError
from components.launch.notices import forget_earlier
from components.launch.processes import die_with_parent

PORT = 29400
_FIRST = "homeroom/first"
_READY = "homeroom/ready"


def host_store(port: int, bind: str | None = None) -> TCPStore:
    """Return a new store; it lives as long as the object.

    Args:
        port: 0 for any that is free.
        bind: the address of this machine to listen on, such as 127.0.0.1; None for all of them.

    Raises:
        ConfigError: the port is taken, or the address is none of this machine.
    """
    listening = None if bind is None else _listening(bind, port)
    try:
        # `multi_tenant`, as in torchrun's own; the host's name is not looked up to listen.
        return TCPStore(
            bind or "localhost",
            port if listening is None else listening.getsockname()[1],
            is_master=True,
            wait_for_workers=False,
            multi_tenant=True,
            master_listen_fd=None if listening is None else listening.detach(),  # the store closes it
        )
    except (DistNetworkError, RuntimeError) as error:
        raise ConfigError(
            f"The machines of a job cannot meet at port {port} of {socket.gethostname()}: it is taken "
            f"({str(error).splitlines()[0]}). Expected a port that no other program listens on. Pass another with "
            "--port, and the same to every machine's --rdzv."
        ) from error


def _listening(bind: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigError(
            f"The machines of a job cannot meet at {bind} (--bind), port {port}: {error.strerror or error}. Expected "
            "an address of this machine and a port that no other program listens on. Correct --bind, or pass another "
            "--port."
        ) from error


def check_store(rdzv: str, within_s: float) -> TCPStore:
    """Return the store, having seen that it can be reached.

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
        return TCPStore(host, int(port), is_master=False, timeout=timedelta(seconds=within_s))
    except (DistNetworkError, RuntimeError) as error:
        raise ConfigError(
            f"Nobody answers at {rdzv}, where the machines are to meet, within {within_s:g} s "
            f"({str(error).splitlines()[0]}). Expected a store. Start `python -m components.launch.meeting --port "
            f"{port}` there, or correct --rdzv; look at firewalls."
        ) from error


def begin_run(store: TCPStore, folder: Path, within_s: float) -> None:
    """See that nothing in a job's folder is from before this run: the first machine at a store removes what is there.

    The others wait until that is done. A machine that comes back to the same store removes nothing.

    Args:
        store: of the run.
        folder: the job's, which the machines share.
        within_s: how long the first machine may take; the others go on then, as it may be gone.
    """
    own = uuid.uuid4().hex
    if store.compare_set(_FIRST, "", own) == own.encode():
        forget_earlier(folder)
        store.set(_READY, "")
        return
    with contextlib.suppress(DistStoreError):
        store.wait([_READY], timedelta(seconds=within_s))


def main() -> None:
    """Hold a store until this process is ended, or its standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m components.launch.meeting", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="0 for any that is free")
    parser.add_argument(
        "--bind", metavar="ADDRESS", help="listen there only, such as 127.0.0.1; by default on all addresses"
    )
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one ends")
    given = parser.parse_args()
    if given.with_parent:
        die_with_parent()
    try:
        store = host_store(given.port, given.bind)
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(f"machines can meet at port {store.port} of {socket.gethostname()} (process {os.getpid()})\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
