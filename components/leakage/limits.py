"""The part of the leakage stage's configuration that all kinds of data share."""

from typing import Literal

from components.config import config_class


@config_class
class LeakageLimits:
    """What a finding of leakage leads to."""

    on_fail: Literal["stop", "flag"] = "stop"
    """A finding that stops ends the run before training (`stop`), or is only written down (`flag`); a release made all
    the same has it in its report."""
    students: Literal["stop", "warn"] = "stop"
    """What a student in more than one split leads to, where the split is by student. `warn` is for data whose published
    split is of responses."""
