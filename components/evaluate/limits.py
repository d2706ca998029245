"""The part of the evaluation's limits that all kinds of data share, and how a limit on an overall figure is judged."""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Literal

from components.config import config_class
from components.gate.decision import Finding, Outcome


@config_class
class LevelLimits:
    """How limits on overall figures are judged. The limits themselves are each kind's own."""

    judge_by: Literal["point", "interval"] = "point"
    """A limit has to be kept by the figure itself, or by the worse end of its interval as well."""
    severity: Mapping[str, Literal["warn", "stop"]] = field(default_factory=dict)
    """Name of a limit -> what the gate makes of crossing it; a limit that is not named stops."""

    def severity_of(self, limit: str) -> Literal["warn", "stop"]:
        """Return what crossing a limit leads to."""
        return self.severity.get(limit, "stop")

    def unknown_severities(self) -> list[str]:
        """Return what is wrong with the names in `severity`."""
        names = [f.name for f in fields(self) if f.name.startswith(("min_", "max_")) and isinstance(f.default, float)]
        unknown = sorted(set(self.severity) - set(names))
        return [f"severity names {unknown}; the limits here are {', '.join(names)}."] if unknown else []

    def level(
        self,
        name: str,
        measure: str,
        value: float,
        ends: tuple[float | None, float | None],
        n: int,
        *,
        said: str,
        subject: str = "all",
    ) -> Finding:
        """Return the finding on one overall figure.

        Args:
            name: of the limit, e.g. `min_auc`: it says whether the figure has to be at least or at most the limit.
            measure: what the figure is.
            value: the figure.
            ends: of its interval; None where it is not estimable, which keeps no limit by interval.
            n: students.
            said: the figure in words, e.g. `auc is 0.7100`.
            subject: whom it is about.
        """
        limit: float = getattr(self, name)
        is_least = name.startswith("min_")
        low, high = ends
        reason = f"{said}, the limit is at {'least' if is_least else 'most'} {limit:g}"
        is_kept = value >= limit if is_least else value <= limit
        end = low if is_least else high
        if is_kept and self.judge_by == "interval":
            is_kept = end is not None and (end >= limit if is_least else end <= limit)
            shown = "cannot be estimated" if end is None else f"reaches {end:.4f}"
            reason += "" if is_kept else f" for all of the interval, which {shown}"
        outcome: Outcome = "pass" if is_kept else self.severity_of(name)
        return Finding(
            check="level",
            subject=subject,
            measure=measure,
            value=value,
            low=low,
            high=high,
            limit=limit,
            n=n,
            outcome=outcome,
            reason=reason,
        )


def crossed_of(findings: list[Finding]) -> list[str]:
    """Return the reasons of those limits that are crossed, whatever follows from it."""
    return [f.reason for f in findings if f.limit is not None and f.outcome != "pass"]


def warned(measure: str, sentences: list[str]) -> list[Finding]:
    """Return what a reader of the figures has to know as findings."""
    return [Finding(check="level", subject="all", measure=measure, outcome="warn", reason=text) for text in sentences]
