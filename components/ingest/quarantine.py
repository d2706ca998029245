"""Quarantine: unusable rows, counted, and the limit above which a run stops."""

from collections.abc import Mapping

import polars as pl

from components.errors import QuarantineLimitError
from components.ingest.faults import DUPLICATE

_WHOLE = "expected a whole number; map another column, or drop it from the mapping"
_TIME = (
    'set the mapping\'s time_unit to ms, s, iso, or a pattern such as "%d.%m.%Y %H:%M" for 30.09.2025 14:05 '
    '("%m/%d/%Y %I:%M %p" for 09/30/2025 02:05 PM)'
)
HINTS = {
    "student_missing": "expected the student's id; check the mapping's student, or have the ids delivered",
    "text_too_long": "expected a name of at most 1,000 bytes; check that the mapping names no column of free text",
    "item_missing": "expected a problem's id; check the mapping's item",
    "skills_missing": "expected a skill's name; check the mapping's skills",
    "item_and_skills_missing": "expected a problem's id or a skill; check the mapping's item and skills",
    "correct_not_0_or_1": "expected 1, 1.0, true or 0, 0.0, false; if the source writes otherwise, add right_values "
    'and wrong_values to the mapping, e.g. right_values = ["ja"] and wrong_values = ["nein"]; map shares as score',
    "correct_missing": "expected right or wrong in every row; leave out what was not answered",
    "score_not_from_0_to_1": "expected a number from 0 to 1; divide points by their maximum, and set the mapping's "
    "decimal_comma where scores are written 0,75",
    "score_missing": "expected a score in every row; leave out what was not answered",
    "time_missing": "expected a time for every answer, or for none at all; deliver them, or drop time from the mapping",
    "time_not_readable": f"expected the time that the mapping's time_unit says; {_TIME}",
    "response_time_not_a_number": "expected a number; check response_time_unit, set decimal_comma for 12,5, or drop "
    "response_time from the mapping",
    "response_time_negative": "expected 0 or more; drop response_time from the mapping where it cannot be trusted",
    "attempt_not_a_whole_number": _WHOLE,
    "attempt_below_1": "expected 1 for the first attempt; where the source counts from 0, drop it from the mapping",
    "order_not_a_whole_number": _WHOLE,
    "order_missing": "expected a number in every row; deliver them, or drop order from the mapping",
    "rows_of_one_answer_disagree": "expected the same item and answer wherever a student's rows share an order number; "
    "map another order column",
    "quotes_do_not_pair": 'expected quotes around whole cells and "" inside; have the file exported again',
    "wrong_number_of_cells": "expected as many as the header has; check the delimiter (the mapping can set it) "
    "and that cells with delimiters in them are quoted",
    "not_utf8": "expected UTF-8; where a whole file is in another encoding, set ingest.encoding to cp1252 or latin-1, "
    "or convert it: iconv -f WINDOWS-1252 -t UTF-8 old.csv > new.csv; where it changes in the middle, convert that "
    "part",
    "not_in_the_encoding": "expected the encoding that ingest.encoding names, and these rows are UTF-8 or hold bytes "
    "that it does not have; take the setting out for files in UTF-8, take cp1252 for latin-1, or convert such rows to "
    "UTF-8",
    "character_lost": "expected names without the mark of a lost character (U+FFFD), as different names may have "
    "become one; have the file exported again as UTF-8",
    "time_in_future": "expected no time after ingest.latest_time; correct the time_unit or the source's clock, or give "
    "a later latest_time",
    "not_json": "expected one object per line; have the file exported again",
    "sequence_lengths_differ": "expected as many skills and items as answers; have the file exported again",
    "student_also_in_valid_file": "expected students of validation files in these alone; take them out of the others",
    "student_also_in_test_file": "expected students of test files in these alone; take them out of the others",
    "student_with_negative_time": "expected times from the exam's start; the data's authors leave such students out",
    "student_incomplete": "expected an answer to every question; the data's authors leave such students out",
}
"""Reason -> what is expected and what to do."""


def counted(quarantine: pl.DataFrame) -> dict[str, int]:
    """Return reason -> rows, the most frequent first."""
    counts = quarantine.group_by("reason").len().sort(["len", "reason"], descending=[True, False])
    return dict(counts.select("reason", "len").iter_rows())


def check_limit(reasons: Mapping[str, int], rows_in: int, limit: float, hints: Mapping[str, str] = HINTS) -> None:
    """Stop a run with too many unusable rows. Rows that were delivered before are no loss: they count nowhere here.

    Args:
        reasons: reason -> rows.
        rows_in: all rows that were read.
        limit: largest share of them that may be lost.
        hints: reason -> what is expected and what to do.

    Raises:
        QuarantineLimitError: the share of rows in quarantine is above `limit`; all reasons are listed.
    """
    losses = {reason: count for reason, count in reasons.items() if reason != DUPLICATE}
    lost, different = sum(losses.values()), rows_in - reasons.get(DUPLICATE, 0)
    if lost <= limit * different:
        return
    lines = "\n".join(f"  - {reason}: {count} rows; {hints[reason]}" for reason, count in losses.items())
    raise QuarantineLimitError(
        f"{lost} of {different} rows ({lost / different:.1%}) are unusable; ingest.quarantine_limit allows "
        f"{limit:.1%}:\n{lines}\n"
        "Correct the source or the mapping, or raise the limit if these rows may be left out."
    )
