"""Forked children of a process in which Prefect works, such as the workers of a DataLoader.

Prefect 3.8.8 resets its services in a forked child and leaves their exit hooks registered: at the child's end the hook
finds a service without an event to wait for, an assertion fails, and the child exits with code 1. A DataLoader reports
that as a worker that died. A child has none of Prefect's threads, so it needs none of these hooks.
"""

import os
import threading


def leave_prefect_to_the_parent() -> None:
    """From now on, take Prefect's exit hooks out of every forked child; call it once, before anything forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_drop_hooks)


def _drop_hooks() -> None:
    hooks = getattr(threading, "_threading_atexits", None)  # where `threading._register_atexit` keeps them
    if hooks is not None:
        hooks[:] = [hook for hook in hooks if not _is_prefects(hook)]


def _is_prefects(hook: object) -> bool:
    function = getattr(hook, "func", hook)
    return str(getattr(function, "__module__", "")).startswith("prefect.")
