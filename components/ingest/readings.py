"""Readings of cells: a source column of any type becomes one of the schema's, null where a cell is empty or unfit.

Each reading takes the short way first (the whole column is clean), and looks again only where that leaves nulls.
"""

from collections.abc import Sequence

import polars as pl

_ZONE = r"(?:[+-]\d{2}:?\d{2})$"
_MOST = 1 << 53
"""Whole numbers beyond this are not exact as floats; as milliseconds it is 285,000 years."""


def is_given(column: pl.Series) -> pl.Series:
    """Return whether there is anything in each cell; not a number counts."""
    return column.is_not_null() if column.dtype.is_float() else as_text(column).is_not_null()


def as_text(column: pl.Series) -> pl.Series:
    """Return text without the blanks around it; null where nothing is left."""
    dtype = column.dtype
    if dtype.is_float():  # 123.0 is what a table library makes of the id 123 beside an empty cell
        number = column.cast(pl.Float64).fill_nan(None)
        whole = number.cast(pl.Int64, strict=False)
        return whole.cast(pl.String).zip_with(whole.cast(pl.Float64) == number, number.cast(pl.String))
    if isinstance(dtype, pl.Duration):
        column = column.dt.to_string("iso")  # the one type that polars does not cast to text
    text = (column if column.dtype == pl.String else column.cast(pl.String, strict=False)).str.strip_chars()
    is_empty = text == ""
    return text.set(is_empty, None) if is_empty.any() else text


def as_number(column: pl.Series) -> pl.Series:
    """Return a finite Float64."""
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        column = _parsed(column, pl.Float64())
    number = column.cast(pl.Float64)
    is_finite = number.is_finite()
    return number if is_finite.all() else number.set(~is_finite, None)


def as_whole(column: pl.Series) -> pl.Series:
    """Return an Int64; 12.0 counts as 12, while 12.5 is unfit."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        whole = _parsed(column, pl.Int64())
        if whole.null_count() == column.null_count():
            return whole
        return whole.fill_null(_rounded(as_number(column), only_whole=True))
    return _rounded(as_number(column), only_whole=True)


def as_decimal(column: pl.Series, *, has_comma: bool) -> pl.Series:
    """Return a finite Float64; with `has_comma`, text is read with a decimal comma, and a point in it is unfit.

    A point may then stand between thousands, so a number with one would be a thousandth of what was meant.
    """
    if not has_comma or column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return as_number(column)
    text = as_text(column)
    number = as_number(text.str.replace(",", ".", literal=True))
    return number.set(text.str.contains(".", literal=True).fill_null(False), None)


def as_judgement(column: pl.Series, right_values: Sequence[str] = (), wrong_values: Sequence[str] = ()) -> pl.Series:
    """Return Int8 1 for what says right, 0 for what says wrong, in any case; null for everything else.

    Args:
        column: numbers, truth values or text.
        right_values: texts that say right; without any, 1, 1.0 and true.
        wrong_values: texts that say wrong; without any, 0, 0.0 and false.
    """
    if right_values or wrong_values:
        text = as_text(column).str.to_lowercase()
        return _zero_or_one(
            *(text.is_in([v.strip().lower() for v in values]) for values in (right_values, wrong_values))
        )
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        number = column.cast(pl.Float64)
        return _zero_or_one(number.is_in([1.0]), number.is_in([0.0]))
    if column.dtype != pl.String:
        column = as_text(column)
    right = _zero_or_one(column == "1", column == "0")
    if right.null_count() == column.null_count():
        return right
    text = as_text(column).str.to_lowercase()
    return _zero_or_one(text.is_in(["1", "1.0", "true"]), text.is_in(["0", "0.0", "false"]))


def as_milliseconds(column: pl.Series, unit: str) -> pl.Series:
    """Return Int64 milliseconds.

    Args:
        column: numbers or text; a temporal column brings its own unit.
        unit: `ms`, `s`, `iso`, or a strptime pattern.
    """
    dtype = column.dtype
    if dtype == pl.Date:
        return _bounded(column.cast(pl.Datetime("ms")).dt.epoch("ms"))
    if isinstance(dtype, pl.Datetime):
        return _bounded(column.dt.epoch("ms"))
    if isinstance(dtype, pl.Duration):
        return _bounded(column.dt.total_milliseconds())
    if unit in {"ms", "s"}:
        if unit == "ms":
            whole = as_whole(column)
            if whole.null_count() == column.null_count():
                return _bounded(whole)
        return _rounded(as_number(column) * (1000 if unit == "s" else 1), only_whole=False)
    text = as_text(column)
    if unit != "iso":
        return _instants(text, unit)
    at = pl.col("text")
    at = at.str.replace(" ", "T", literal=True).str.replace("(?i)Z$", "+0000")
    at = pl.when(at.str.contains("T", literal=True)).then(at).otherwise(at + "T00:00:00")
    lacks_seconds = at.str.contains(r"T\d{2}:\d{2}(?:[+-]|$)")
    at = pl.when(lacks_seconds).then(at.str.replace(r"(T\d{2}:\d{2})", "${1}:00")).otherwise(at)
    at = pl.when(at.str.contains(_ZONE)).then(at).otherwise(at + "+0000")
    return _instants(text.alias("text").to_frame().select(at).to_series(), "%Y-%m-%dT%H:%M:%S%.f%z")


def _bounded(whole: pl.Series) -> pl.Series:
    """Return whole numbers that are exact as floats; null for others, also the least Int64, whose `abs` is itself."""
    return whole.set(~whole.is_between(-_MOST, _MOST), None)


def _parsed(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return text parsed, after taking blanks off where that might help."""
    text = column if column.dtype == pl.String else as_text(column)
    parsed = text.cast(dtype, strict=False)
    return parsed if parsed.null_count() == text.null_count() else as_text(text).cast(dtype, strict=False)


def _rounded(number: pl.Series, *, only_whole: bool) -> pl.Series:
    rounded = number.round()
    unfit = rounded.abs() > _MOST
    if only_whole:
        unfit = unfit | (rounded != number)
    return rounded.set(unfit, None).cast(pl.Int64)


def _zero_or_one(is_one: pl.Series, is_zero: pl.Series) -> pl.Series:
    value = is_one.cast(pl.Int8)
    return value.set(~(is_one | is_zero), None)


def _instants(text: pl.Series, pattern: str) -> pl.Series:
    return text.str.to_datetime(pattern, strict=False, time_unit="ms").dt.epoch("ms")
