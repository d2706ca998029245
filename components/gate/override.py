"""Overrides of the gate: a named person lets a stopped release through, for a reason, until a day."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from components.artifacts import JsonValue
from components.errors import ConfigError

MOST_DAYS = 366
"""The longest that an override may count. What holds for longer belongs into the limits of the configuration."""
MOST_LETTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Lets one release through. It is recorded with the decision and travels with the release."""

    by: str
    """Who answers for it."""
    reason: str
    until: str
    """The last day on which it counts, in UTC: `2027-01-31`."""
    given: str
    """When it was given, in UTC."""

    def counts_on(self, today: date) -> bool:
        """Return whether it still counts; one without a name or a reason, or whose day cannot be read, never does."""
        if not self.by.strip() or not self.reason.strip():
            return False
        try:
            return today <= date.fromisoformat(self.until)
        except ValueError:
            return False

    def sentence(self, today: date) -> str:
        """Return it in words, with whether it counts."""
        state = "until" if self.counts_on(today) else "EXPIRED on"
        return f"override by {self.by} {state} {self.until}: {self.reason}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value. Raises KeyError or TypeError where a field is missing or no text."""
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        if not all(isinstance(text, str) for text in fields.values()):
            raise TypeError("an override's fields are texts")
        return cls(**fields)


def today_utc() -> date:
    """Return the day it is, in UTC, by which overrides expire."""
    return datetime.now(UTC).date()


def make_override(by: str | None, reason: str | None, until: str | None, *, now: datetime | None = None) -> Override:
    """Return an override that a person gave on the command line or in code.

    Args:
        by: the person's name.
        reason: why a stopped release should serve all the same.
        until: the last day on which it counts, as `YYYY-MM-DD`; at most `MOST_DAYS` from now.
        now: the time in UTC; None takes the clock's.

    Raises:
        ConfigError: something is missing or makes no sense; all of it at once.
    """
    now = now or datetime.now(UTC)
    problems = []
    for option, text, what in (("--override-by", by, "the name of who answers for it"), ("--reason", reason, "why")):
        if text is None or not text.strip():
            problems.append(f"{option} is missing or empty; expected {what}")
        elif len(text) > MOST_LETTERS or "\n" in text:
            problems.append(f"{option} has {len(text)} characters or more than a line; expected {MOST_LETTERS} at most")
    last = now.date() + timedelta(days=MOST_DAYS)
    try:
        day = date.fromisoformat(until or "")
    except ValueError:
        problems.append(f"--until is {until!r}; expected a day such as {last:%Y}-01-31")
    else:
        if not now.date() <= day <= last:
            problems.append(f"--until is {day}; expected a day from today, {now:%Y-%m-%d}, to {last}")
    if problems:
        raise ConfigError(
            f"An override needs a name, a reason and an expiry: {'; '.join(problems)}. For example: --override-by "
            f'"A. Mensah" --reason "the council accepted the gap for this term" --until {last:%Y}-01-31'
        )
    assert by is not None
    assert reason is not None
    return Override(by=by.strip(), reason=reason.strip(), until=day.isoformat(), given=f"{now:%Y%m%dT%H%M%SZ}")
