"""The names that homeroom gives to what lies in a store: garbage collection touches nothing that is called otherwise.

A store's root may be a folder or a bucket that holds other things too.
"""

import re

_STAGE = r"[A-Za-z][A-Za-z0-9_]*"
_RUN = r"\d{8}T\d{6}-[0-9a-f]{6}"
_SCRATCH = re.compile(r"[0-9a-f]{32}(\.part)?")
_IDENTITY = re.compile(r"[0-9a-f]{64}")
_JOB = re.compile(rf"{_STAGE}-[0-9a-f]{{32}}")
_LOCK = re.compile(rf"({_STAGE}-[0-9a-f]{{32}}|run-{_RUN}|(promotion|releases)-{_STAGE})\.lock")
_REPORT = re.compile(rf"\.?{_RUN}(\.part)?")
_KEY = re.compile(r"(artifacts/[0-9a-f]{64}/.+|tmp/[0-9a-f]{32}\.part)")


def is_scratch(name: str) -> bool:
    """Return whether something in `tmp/` is called as homeroom calls what it is writing."""
    return _SCRATCH.fullmatch(name) is not None


def is_identity(name: str) -> bool:
    """Return whether something in `artifacts/` is called as an artifact."""
    return _IDENTITY.fullmatch(name) is not None


def is_job(name: str) -> bool:
    """Return whether something in `jobs/` is called as the job of a stage."""
    return _JOB.fullmatch(name) is not None


def is_lock(name: str) -> bool:
    """Return whether something in `locks/` is called as the lock of a stage, of a run or of an application."""
    return _LOCK.fullmatch(name) is not None


def is_report(name: str) -> bool:
    """Return whether something in `runs/` is called as a run's report."""
    return _REPORT.fullmatch(name) is not None


def is_upload(path: str) -> bool:
    """Return whether an unfinished upload goes to where a store uploads."""
    return _KEY.fullmatch(path) is not None
