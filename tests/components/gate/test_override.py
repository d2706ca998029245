"""Overrides need a name, a reason and a day that comes, not too far off."""

from datetime import UTC, date, datetime

import pytest

from components.errors import ConfigError
from components.gate.override import Override, make_override

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def test_an_override_holds_what_was_given_and_its_last_day_counts() -> None:
    found = make_override(" A. Mensah ", "the council accepted it", "2027-01-31", now=NOW)
    assert found == Override(
        by="A. Mensah", reason="the council accepted it", until="2027-01-31", given="20261122T100000Z"
    )
    assert Override.from_json(found.to_json()) == found
    assert found.counts_on(date(2027, 1, 31))
    assert "until 2027-01-31" in found.sentence(date(2027, 1, 31))
    assert "EXPIRED on 2027-01-31" in found.sentence(date(2027, 2, 1))


def test_today_is_the_shortest_and_a_year_the_longest() -> None:
    assert make_override("A", "b", "2026-11-22", now=NOW).until == "2026-11-22"
    assert make_override("A", "b", "2027-11-23", now=NOW).until == "2027-11-23"
    for day in ("2026-11-21", "2027-11-24", "9999-01-01"):
        with pytest.raises(ConfigError, match="expected a day from today, 2026-11-22, to 2027-11-23"):
            make_override("A", "b", day, now=NOW)


def test_everything_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"--override-by is missing.*--reason is missing.*--until is None"):
        make_override(None, "  ", None, now=NOW)
    with pytest.raises(ConfigError, match="--until is 'next term'"):
        make_override("A", "b", "next term", now=NOW)
    with pytest.raises(ConfigError, match="--reason has 501 characters"):
        make_override("A", "b" * 501, "2027-01-01", now=NOW)


@pytest.mark.parametrize(("by", "reason"), [("", "b"), ("  ", "b"), ("A", ""), ("A", "\n")])
def test_a_record_without_a_name_or_a_reason_counts_for_nothing(by: str, reason: str) -> None:
    found = Override(by=by, reason=reason, until="2999-12-31", given="20261122T100000Z")
    assert not found.counts_on(date(2026, 11, 22))
