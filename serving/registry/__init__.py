"""The registry of releases: what is known, what serves, and the append-only log that says so.

    releases/<application>/known/<version>.json           every release that was registered
    releases/<application>/log/<8 digits>.json            the log: one entry per change, each with the whole state
    releases/<application>/decisions/<version>/<utc>.json what the gate decided (components/gate/records.py)

The last entry of the log decides what serves. One conditional create makes it: promotion, rollback and a step of a
canary are each one atomic write, and of two writers one wins. docs/reference/release-log.md has the format.
"""

from serving.registry.checking import Fault, faults_of
from serving.registry.log import PointerLog
from serving.registry.pointer import STAMP, Pointer
from serving.registry.releases import ReleaseRegistry, this_person
from serving.registry.state import Challenger, Change, Slot, State

__all__ = [
    "STAMP",
    "Challenger",
    "Change",
    "Fault",
    "Pointer",
    "PointerLog",
    "ReleaseRegistry",
    "Slot",
    "State",
    "faults_of",
    "this_person",
]
