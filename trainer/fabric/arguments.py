"""Arguments of Fabric that its command line set, as environment variables with Lightning's names."""

from __future__ import annotations

import os
from typing import Any

PREFIX = "LT_"
USED = "LT_CLI_USED"


def used_command_line() -> bool:
    """Return whether `python -m trainer.fabric run` started this process."""
    return os.environ.get(USED, "0") == "1"


def from_command_line(name: str, given: Any, default: Any) -> Any:
    """Return the value of an argument: that of the environment, else what the code gave.

    Raises:
        ValueError: both are there and differ.
    """
    found = os.environ.get(PREFIX + name.upper())
    if found is None:
        return given
    if used_command_line() and str(given) not in (found, str(default)):
        raise ValueError(
            f"The script has `Fabric({name}={given!r})` and the command line `--{name.replace('_', '-')}={found}`. Got "
            "both; expected one of them, or equal ones. Remove one."
        )
    return found
