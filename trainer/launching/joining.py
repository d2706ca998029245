"""The moment at which the processes of a run meet: how long it may take, and what went wrong where it fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

from trainer.errors import DistributedError, MisconfigurationException, four_parts
from trainer.launching.environments import Environment

TIMEOUT_VARIABLE = "TRAINER_TIMEOUT_S"
"""How many seconds a process waits for the others; for whoever starts the processes."""


def usual_timeout() -> timedelta:
    """Return how long a process waits for the others where nobody says it.

    Raises:
        MisconfigurationException: the variable holds no number above 0.
    """
    text = os.environ.get(TIMEOUT_VARIABLE, "300")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise MisconfigurationException(
            four_parts(f"{TIMEOUT_VARIABLE} is no time to wait.", got=text, expected="seconds, more than 0",
                       remedy="Correct it, or unset it for five minutes.")
        )  # fmt: skip
    return timedelta(seconds=seconds)


@contextmanager
def joining(environment: Environment, timeout: timedelta) -> Iterator[None]:
    """Say what kept the processes from meeting inside the block.

    Raises:
        DistributedError: the port is taken, or not all came in time.
    """
    try:
        yield
    except (dist.DistError, RuntimeError) as error:
        place = f"{os.environ.get('MASTER_ADDR', 'localhost')}:{os.environ.get('MASTER_PORT', '?')}"
        text = str(error)
        if "EADDRINUSE" in text or "address already in use" in text:
            raise DistributedError(
                four_parts("The port that the processes are to meet at is taken.", got=place,
                           expected="a port that no other program listens on",
                           remedy="Pass another --master-port, or none: torchrun finds a free one.")
            ) from error  # fmt: skip
        if not isinstance(error, dist.DistError) and "timed out" not in text and "timeout" not in text.lower():
            error.add_note(f"while the processes met at {place}")
            raise
        raise DistributedError(
            f"The processes did not all meet at {place} within {timeout.total_seconds():g} s. Got rank "
            f"{environment.rank} of {environment.world_size} here, and: {text.splitlines()[0] if text else error!r}; "
            f"expected {environment.world_size} processes that reach each other. Start those that are missing, look at "
            "firewalls, or name the network interface in GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME."
        ) from error
