"""A page of memory that the processes of one machine share, in which each writes what it says after a step.

A message wakes a thread of the process that gets it, which takes a core from the computation there: about 1 ms a step
where each process has one core. A word in memory wakes nobody. Everything else goes through torch.distributed.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.strategies.strategy import Strategy

_ROUNDS = 4
"""Rounds that are kept: processes are at most one apart."""
_BITS = 8
_WORD = 8  # bytes
_NAP_S = 50e-6
_LONGEST_NAP_S = 1e-3
_MEMORY = Path("/dev/shm")


class SharedPage:
    """Words of all processes: `_ROUNDS` of each, and its process id. A word is the round and what was said in it.

    Args:
        path: of a file of the right size, which may be removed afterwards.
        rank: of this process.
        world_size: number of processes.
        timeout_s: how long `read` waits.
    """

    def __init__(self, path: Path, rank: int, world_size: int, timeout_s: float) -> None:
        with path.open("r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), page_bytes(world_size))).cast("q")
        self._rank, self._world_size, self._timeout_s = rank, world_size, timeout_s
        self._words[self._pid_place(rank)] = os.getpid()

    def write(self, number: int, bits: int) -> None:
        """Say `bits` in round `number`, which counts from 0."""
        self._words[self._rank * _ROUNDS + number % _ROUNDS] = (number + 1) << _BITS | bits

    def read(self, number: int) -> tuple[int, int]:
        """Return the bits that any process said in a round, and those that all said; wait until all have.

        Raises:
            RuntimeError: a process has ended, or did not arrive in time.
        """
        anyone, everyone = 0, (1 << _BITS) - 1
        for rank in range(self._world_size):
            place = rank * _ROUNDS + number % _ROUNDS
            if self._words[place] >> _BITS != number + 1:
                self._wait(rank, place, number + 1)
            said = self._words[place] & ((1 << _BITS) - 1)
            anyone, everyone = anyone | said, everyone & said
        return anyone, everyone

    def sees_all(self) -> bool:
        """Return whether every process has written its id, and lives where this one can see it."""
        return all(_lives(self._words[self._pid_place(rank)]) for rank in range(self._world_size))

    def _wait(self, rank: int, place: int, expected: int) -> None:
        until_s, nap_s = time.monotonic() + self._timeout_s, _NAP_S
        while self._words[place] >> _BITS != expected:
            time.sleep(nap_s)
            nap_s = min(2 * nap_s, _LONGEST_NAP_S)
            if not _lives(self._words[self._pid_place(rank)]) and self._words[place] >> _BITS != expected:
                raise RuntimeError(f"Connection closed by peer: the process of rank {rank} has ended.")
            if time.monotonic() > until_s:
                raise RuntimeError(f"Timed out waiting {self._timeout_s * 1e3:.0f}ms for the process of rank {rank}.")

    def _pid_place(self, rank: int) -> int:
        return self._world_size * _ROUNDS + rank


def page_bytes(world_size: int) -> int:
    """Return the size of a page."""
    return world_size * (_ROUNDS + 1) * _WORD


def open_page(strategy: Strategy, timeout_s: float) -> SharedPage | None:
    """Return a new page of all processes; None where they are on several machines, or do not see each other."""
    environment = strategy.environment
    rank, world_size = environment.rank, environment.world_size
    if len(set(strategy.gather_bytes(_machine()))) > 1:
        return None
    own = _create(world_size) if rank == 0 else None
    path = Path(strategy.broadcast_text(str(own or "")))
    page = None
    if path.name:
        with contextlib.suppress(OSError, ValueError):
            page = SharedPage(path, rank, world_size, timeout_s)
    strategy.barrier()
    is_seen = page is not None and page.sees_all()
    [is_missing] = strategy.agree([not is_seen])
    if own is not None:
        own.unlink(missing_ok=True)  # what is mapped lives on
    return None if is_missing else page


def _create(world_size: int) -> Path | None:
    folder = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    path = folder / f"trainer-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(bytes(page_bytes(world_size)))
    except OSError:
        return None
    return path


def _machine() -> bytes:
    """Return what tells machines, and containers on one, apart."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.stat('/proc/self/ns/pid').st_ino}".encode()
    return secrets.token_bytes(16)  # unknown: each process on a machine of its own


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
