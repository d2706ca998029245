"""Where the records of delimited text (RFC 4180) begin and end, and how many cells each has, found by array arithmetic.

A block whose quotes cannot be trusted (one that never closes, one amid a cell) is taken line by line instead, so that
one stray quote spoils one line and not the rest of the file.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
LONGEST_RECORD_LINES = 64
LONGEST_RECORD_BYTES = 1 << 20
LONGEST_TEXT_LINES = 4096
"""Of a record with an essay in it."""
_LF, _CR, _QUOTE = 10, 13, 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Records of one block."""

    starts: Positions
    """Where each begins, in bytes."""
    ends: Positions
    """Where its line feed stands."""
    cells: Positions
    """How many cells it has."""
    is_blank: Flags
    """Whether it holds delimiters at most."""
    has_bad_quotes: Flags
    """Whether its quotes do not pair up; only where lines are taken one by one."""
    used: int
    """Bytes that the records cover; the rest is a record that goes on in the next block."""


def find_records(
    body: bytes,
    delimiter: str,
    width: int,
    *,
    is_last: bool,
    has_quotes: bool = True,
    has_long_cells: bool = False,
) -> Records:
    """Return the records of `body`, which ends with a line feed.

    Args:
        body: whole lines.
        delimiter: one ASCII character.
        width: how many cells a record should have; a record over several lines must, to be believed.
        is_last: no further block follows, so an open quote never closes.
        has_quotes: whether quotes mean anything.
        has_long_cells: whether cells may go over many lines, so that records are found again behind a stray quote.
    """
    octets = np.frombuffer(body, np.uint8)
    feeds = np.flatnonzero(octets == _LF)
    delimiters = np.flatnonzero(octets == ord(delimiter))
    quotes = np.flatnonzero(octets == _QUOTE) if has_quotes and b'"' in body else np.zeros(0, np.int64)
    if not len(quotes):
        return _records(octets, feeds, delimiters, np.zeros(len(feeds), np.bool_))
    longest = LONGEST_TEXT_LINES if has_long_cells else LONGEST_RECORD_LINES
    records = _quoted(octets, feeds, delimiters, quotes, width, is_last, longest)
    if records is not None:
        return records
    if has_long_cells:
        return _found_again(octets, feeds, delimiters, quotes, width, is_last)
    return _line_by_line(octets, feeds, delimiters, quotes)


def _quoted(
    octets: npt.NDArray[np.uint8],
    feeds: Positions,
    delimiters: Positions,
    quotes: Positions,
    width: int,
    is_last: bool,
    longest: int,
) -> Records | None:
    """Return the records where quotes pair up over line ends, or None where that is not to be believed."""
    outer_feeds = feeds[_is_outside(feeds, quotes)]
    used = int(outer_feeds[-1]) + 1 if len(outer_feeds) else 0
    if used < len(octets):
        open_lines = len(feeds) - int(np.searchsorted(feeds, used))
        if is_last or open_lines > longest or len(octets) - used > LONGEST_RECORD_BYTES:
            return None
    before = quotes[quotes < used]
    if not _well_placed(octets, before, np.arange(len(before)) & 1, delimiters).all():
        return None
    outer = delimiters[_is_outside(delimiters, quotes)]
    records = _records(octets[:used], outer_feeds, outer, np.zeros(len(outer_feeds), np.bool_))
    lines = np.diff(np.searchsorted(feeds, records.ends), prepend=-1)
    if ((lines > 1) & (records.cells != width)).any() or (len(lines) and lines.max() > longest):
        return None
    return records


def _line_by_line(octets: npt.NDArray[np.uint8], feeds: Positions, delimiters: Positions, quotes: Positions) -> Records:
    line = np.searchsorted(feeds, quotes)
    first = np.searchsorted(quotes, np.concatenate([[0], feeds[:-1] + 1]))  # number of quotes before each line
    place = (np.arange(len(quotes)) - first[line]) & 1
    bad = np.zeros(len(feeds), np.bool_)
    bad[line[~_well_placed(octets, quotes, place, delimiters)]] = True
    bad |= (np.bincount(line, minlength=len(feeds)) & 1).astype(np.bool_)
    inside = ((np.searchsorted(quotes, delimiters) - first[np.searchsorted(feeds, delimiters)]) & 1).astype(np.bool_)
    return _records(octets, feeds, delimiters[~inside], bad)


def _found_again(
    octets: npt.NDArray[np.uint8], feeds: Positions, delimiters: Positions, quotes: Positions, width: int, is_last: bool
) -> Records:
    """Return the records that begin at each line in turn; a line at which none begins is a bad one by itself.

    A record is believed where its quotes are well placed and pair up, and, over several lines, where it has the width.
    """
    line_starts = np.concatenate([np.zeros(1, np.int64), feeds[:-1] + 1])
    first_quote = np.searchsorted(quotes, np.concatenate([line_starts, feeds[-1:] + 1])).tolist()
    starts, ends, cells, bad = [], [], [], []
    used = len(octets)
    at = 0
    while at < len(feeds):
        last, is_good = at, first_quote[at] == first_quote[at + 1]
        if not is_good:
            last, is_good = _whole_record(octets, line_starts, feeds, delimiters, quotes, first_quote, at, width)
        if not is_good and last == len(feeds) - 1 and not is_last and _may_go_on(line_starts, feeds, at):
            used = int(line_starts[at])
            break
        end = last if is_good else at
        inside = delimiters[np.searchsorted(delimiters, line_starts[at]) : np.searchsorted(delimiters, feeds[end])]
        if is_good:
            own = quotes[first_quote[at] : first_quote[end + 1]]
            inside = inside[(np.searchsorted(own, inside) & 1) == 0]
        starts.append(int(line_starts[at]))
        ends.append(int(feeds[end]))
        cells.append(len(inside) + 1)
        bad.append(not is_good)
        at = end + 1
    begins, feed_ends, counts = (np.array(values, np.int64) for values in (starts, ends, cells))
    has_return = (feed_ends > begins) & (octets[np.maximum(feed_ends - 1, 0)] == _CR)
    return Records(
        starts=begins,
        ends=feed_ends,
        cells=counts,
        is_blank=feed_ends - begins - has_return == counts - 1,
        has_bad_quotes=np.array(bad, np.bool_),
        used=used,
    )


def _whole_record(
    octets: npt.NDArray[np.uint8],
    line_starts: Positions,
    feeds: Positions,
    delimiters: Positions,
    quotes: Positions,
    first_quote: list[int],
    at: int,
    width: int,
) -> tuple[int, bool]:
    """Return the last line of the record that begins at line `at`, and whether it is to be believed.

    It ends with the first line by which its quotes pair up.
    """
    stop = min(len(feeds), at + LONGEST_TEXT_LINES)
    last = next((n for n in range(at, stop) if (first_quote[n + 1] - first_quote[at]) % 2 == 0), stop - 1)
    own = quotes[first_quote[at] : first_quote[last + 1]]
    if len(own) % 2 or not _well_placed(octets, own, np.arange(len(own)) & 1, delimiters).all():
        return last, False
    if last == at:
        return last, True
    low, high = np.searchsorted(delimiters, [line_starts[at], feeds[last]])
    inside = delimiters[low:high]
    return last, int(((np.searchsorted(own, inside) & 1) == 0).sum()) + 1 == width


def _may_go_on(line_starts: Positions, feeds: Positions, at: int) -> bool:
    """Return whether a record from line `at` that does not end in this block may end in the next."""
    open_bytes = int(feeds[-1]) + 1 - int(line_starts[at])
    return len(feeds) - at <= LONGEST_TEXT_LINES and open_bytes <= LONGEST_RECORD_BYTES


def _is_outside(positions: Positions, quotes: Positions) -> Flags:
    outside: Flags = (np.searchsorted(quotes, positions) & 1) == 0
    return outside


def _well_placed(octets: npt.NDArray[np.uint8], quotes: Positions, closes: Positions, delimiters: Positions) -> Flags:
    """Return for each quote whether it opens at the start of a cell, closes at its end, or is one of a pair for `"`."""
    if not len(quotes):
        return np.zeros(0, np.bool_)
    delimiter = octets[delimiters[0]] if len(delimiters) else _LF
    previous = np.where(quotes > 0, octets[np.maximum(quotes - 1, 0)], _LF)
    following = octets[np.minimum(quotes + 1, len(octets) - 1)]
    opens_well = (previous == _LF) | (previous == delimiter) | (previous == _QUOTE)
    closes_well = (following == _LF) | (following == _CR) | (following == delimiter) | (following == _QUOTE)
    fits: Flags = np.where(closes == 1, closes_well, opens_well)
    return fits


def _records(octets: npt.NDArray[np.uint8], feeds: Positions, delimiters: Positions, has_bad_quotes: Flags) -> Records:
    starts = np.concatenate([np.zeros(1, np.int64), feeds[:-1] + 1])[: len(feeds)]
    counts = np.diff(np.searchsorted(delimiters, feeds), prepend=0)
    has_return = (feeds > starts) & (octets[np.maximum(feeds - 1, 0)] == _CR)
    return Records(
        starts=starts,
        ends=feeds,
        cells=counts + 1,
        is_blank=feeds - starts - has_return == counts,
        has_bad_quotes=has_bad_quotes,
        used=int(feeds[-1]) + 1 if len(feeds) else 0,
    )
