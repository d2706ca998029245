"""Readings: what counts as a number, a judgement or a time; expected values by hand and from the standard library."""

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from components.ingest.readings import as_judgement, as_milliseconds, as_number, as_text, as_whole, is_given

MESSY = pl.Series(["12", " 12 ", "12.0", "1e3", "12.5", "nan", "inf", "-3", "abc", "", None, "9223372036854775808"])


def test_text_loses_the_blanks_around_it_and_nothing_is_null() -> None:
    column = pl.Series([" a b ", "", "  ", None, "\tx"])
    assert as_text(column).to_list() == ["a b", None, None, None, "x"]
    assert is_given(column).to_list() == [True, False, False, False, True]


def test_a_whole_float_id_is_the_id() -> None:
    assert as_text(pl.Series([123.0, None, 2.5, float("nan")])).to_list() == ["123", None, "2.5", None]
    assert as_text(pl.Series([7, None])).to_list() == ["7", None]
    assert as_text(pl.Series(["x", None], dtype=pl.Categorical)).to_list() == ["x", None]
    assert as_text(pl.Series([None, None])).to_list() == [None, None]


def test_whole_numbers_may_be_written_as_floats_but_have_no_fraction() -> None:
    expected = [12, 12, 12, 1000, None, None, None, -3, None, None, None, None]
    assert as_whole(MESSY).to_list() == expected
    assert as_whole(pl.Series([1.0, 1.5, float("inf"), None])).to_list() == [1, None, None, None]


def test_numbers_are_finite() -> None:
    expected = [12.0, 12.0, 12.0, 1000.0, 12.5, None, None, -3.0, None, None, None, float(2**63)]
    assert as_number(MESSY).to_list() == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["1", "0", None], [1, 0, None]),
        (["1.0", "0.0", "TRUE", " false "], [1, 0, 1, 0]),
        (["2", "-1", "0.5", "01", "yes", ""], [None] * 6),
        ([1, 0, 2], [1, 0, None]),
        ([1.0, 0.0, 0.5, float("nan")], [1, 0, None, None]),
        ([True, False, None], [1, 0, None]),
    ],
)
def test_judgements_are_one_or_zero(column: list[object], expected: list[int | None]) -> None:
    read = as_judgement(pl.Series(column))
    assert read.dtype == pl.Int8
    assert read.to_list() == expected


def test_iso_times_with_and_without_zone() -> None:
    tokyo = timezone(timedelta(hours=9))
    moments = {
        "2024-09-01T08:30:00Z": datetime(2024, 9, 1, 8, 30, tzinfo=UTC),
        "2024-09-01 08:30": datetime(2024, 9, 1, 8, 30, tzinfo=UTC),
        "2024-09-01": datetime(2024, 9, 1, tzinfo=UTC),
        "2024-09-01T08:30:00.250+09:00": datetime(2024, 9, 1, 8, 30, 0, 250_000, tzinfo=tokyo),
        "2024-09-01T08:30+0900": datetime(2024, 9, 1, 8, 30, tzinfo=tokyo),
        "1969-12-31T23:59:59Z": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    }
    read = as_milliseconds(pl.Series(list(moments)), "iso")
    assert read.to_list() == [round(m.timestamp() * 1000) for m in moments.values()]
    assert as_milliseconds(pl.Series(["2024-02-30", "soon", "", None]), "iso").to_list() == [None] * 4


def test_times_in_a_pattern_of_ones_own() -> None:
    expected = round(datetime(2024, 9, 1, 14, 5, tzinfo=UTC).timestamp() * 1000)
    assert as_milliseconds(pl.Series(["09/01/2024 14:05", "x"]), "%m/%d/%Y %H:%M").to_list() == [expected, None]
    assert as_milliseconds(pl.Series(["09/01/2024 02:05 PM"]), "%m/%d/%Y %I:%M %p").to_list() == [expected]


def test_times_as_numbers() -> None:
    assert as_milliseconds(pl.Series(["1.5", "2", "-1", "x"]), "s").to_list() == [1500, 2000, -1000, None]
    assert as_milliseconds(pl.Series(["1725179400000", "1e16"]), "ms").to_list() == [1725179400000, None]
    assert as_milliseconds(pl.Series(["1725179400000.4", "1e300"]), "ms").to_list() == [1725179400000, None]


def test_temporal_columns_bring_their_unit() -> None:
    moment = datetime(2024, 9, 1, 8, 30, tzinfo=timezone(timedelta(hours=-5)))
    expected = [round(moment.timestamp() * 1000)]
    for unit in ("ms", "us", "ns"):
        column = pl.Series([moment], dtype=pl.Datetime(unit, "America/Chicago"))
        assert as_milliseconds(column, "s").to_list() == expected
    assert as_milliseconds(pl.Series([date(1970, 1, 2)]), "ms").to_list() == [86_400_000]
    assert as_milliseconds(pl.Series([timedelta(seconds=2)]), "ms").to_list() == [2000]
