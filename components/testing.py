"""Faults for an application's own tests: full disks, an S3 server that fails, old listings, processes that are killed.

`docs/how-to/faults.md` shows how. `pip install 'homeroom[testing]'` brings what `S3Server` needs.
"""

from components._testing.disk_faults import DISK_STEPS, DiskFaults, DiskStep
from components._testing.kills import Killed, die_at_write, kill_after, kill_at
from components._testing.s3_faults import (
    ALWAYS,
    S3Fault,
    abandon_upload,
    cut_body,
    failing,
    hang,
    lose_answer,
    reset,
    slow_down,
    stale_listing,
)
from components._testing.s3_server import Injection, S3Server
from components._testing.stale import stale_listings

__all__ = [
    "ALWAYS",
    "DISK_STEPS",
    "DiskFaults",
    "DiskStep",
    "Injection",
    "Killed",
    "S3Fault",
    "S3Server",
    "abandon_upload",
    "cut_body",
    "die_at_write",
    "failing",
    "hang",
    "kill_after",
    "kill_at",
    "lose_answer",
    "reset",
    "slow_down",
    "stale_listing",
    "stale_listings",
]
