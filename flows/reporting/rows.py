"""What a forest plot is given: rows with estimates, and the lines they are compared with."""

from dataclasses import dataclass

from flows.reporting.estimates import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: a name and what was found, once for each series."""

    name: str
    found: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """What the rows are compared with."""

    overall: float | None = None
    """Dashed: the value of all together."""
    zero: bool = False
    """Solid: 0 is what all together have."""
    limits: tuple[float, ...] = ()
    """Dotted: where a limit lies."""
