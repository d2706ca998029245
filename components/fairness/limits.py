"""What the gate on groups must know of a configuration, and the part of it that all kinds of data share."""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Literal, Protocol

from components.config import config_class

DECIMALS = 3
"""Figures of groups are rounded to so many: more would let a hidden group be worked out from totals; see
`components/fairness/groups.py`."""


class GateConfig(Protocol):
    """What the gate must know of a configuration."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """Group attributes to compare; empty means all that there are."""

    @property
    def required(self) -> tuple[str, ...]:
        """Attributes without which nothing passes."""

    @property
    def optional(self) -> tuple[str, ...]:
        """Attributes that may be missing."""

    @property
    def required_groups(self) -> Mapping[str, tuple[str, ...]]:
        """Attribute -> groups that must be judged."""

    @property
    def min_students(self) -> int:
        """Below so many students a group is not judged."""

    @property
    def min_scored(self) -> int:
        """Below so many scored answers a group is not judged."""

    @property
    def confidence(self) -> float:
        """Coverage of the intervals."""

    @property
    def gap_limits(self) -> dict[str, float]:
        """Measure -> largest difference between two groups, for those that are on."""

    @property
    def departure_limits(self) -> dict[str, float]:
        """Measure -> largest distance of a group from 0, which all students together have, for those that are on."""

    @property
    def level_limits(self) -> dict[str, float]:
        """Measure -> least value of any group, for those that are on."""

    @property
    def gap_test(self) -> Literal["differs", "exceeds"]:
        """What has to be shown of a gap that is wider than its limit."""

    @property
    def uncertain(self) -> Literal["warn", "stop"]:
        """What follows where it is not shown."""

    def severity_of(self, limit: str) -> Literal["warn", "stop"]:
        """Return what crossing a limit leads to; `limit` is the name of its key, e.g. `max_auc_gap`."""


@config_class
class GroupLimits:
    """Which groups have to be judged, and what a crossed limit leads to. The limits themselves are each kind's own."""

    attributes: tuple[str, ...] = ()
    """Group attributes to compare, or two with ` & ` between for their intersection; empty: all of the source."""
    required: tuple[str, ...] = ()
    """Attributes of these that must be judged: missing, or with fewer than two groups of enough size, is a stop."""
    optional: tuple[str, ...] = ()
    """Attributes that may be missing, which gives a warning. What is named neither here nor above must be there, but
    may have too few in a group."""
    required_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attribute -> groups that must be judged on every limit; one that is missing or too small is a stop. The attribute
    is required by that."""
    gap_test: Literal["differs", "exceeds"] = "differs"
    """A gap wider than its limit stops where its interval leaves 0 out (`differs`), or only where all of the interval
    is beyond the limit (`exceeds`)."""
    uncertain: Literal["warn", "stop"] = "warn"
    """What a value beyond its limit leads to where the test above does not show it: chance may have made it."""
    severity: Mapping[str, Literal["warn", "stop"]] = field(default_factory=dict)
    """Name of a limit -> what crossing it leads to; a limit that is not named stops."""

    def severity_of(self, limit: str) -> Literal["warn", "stop"]:
        """Return what crossing a limit leads to."""
        return self.severity.get(limit, "stop")

    @classmethod
    def limit_names(cls) -> tuple[str, ...]:
        """Return the names of the limits."""
        return tuple(f.name for f in fields(cls) if f.name.startswith(("max_", "min_group_")))

    def problems(self) -> list[str]:
        """Return what is wrong with the fields above."""
        found = []
        for name in ("attributes", "required", "optional"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                found.append(f"{name} is {list(values)}; expected each name once. Delete the repeats.")
        both = sorted({*self.required, *self.required_groups} & set(self.optional))
        if both:
            found.append(f"{both} are in optional and in required or required_groups; expected one of them.")
        empty = sorted(name for name, groups in self.required_groups.items() if not groups)
        if empty:
            found.append(f"required_groups names no group of {empty}; name some, or put the attribute into required.")
        unknown = sorted(set(self.severity) - set(self.limit_names()))
        if unknown:
            found.append(f"severity names {unknown}; the limits here are {', '.join(self.limit_names())}.")
        return found
