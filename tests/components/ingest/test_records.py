"""Records of delimited text: the same as the standard library's reader finds, and stray quotes kept from spreading."""

import csv
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.ingest.records import Records, find_records


def pieces(body: bytes, records: Records) -> list[bytes]:
    return [body[a:b] for a, b in zip(records.starts, records.ends, strict=True)]


cells = st.text(alphabet='ab "\n\r,é', max_size=5)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=8))
def test_records_and_cells_are_those_of_the_csv_module(rows: list[list[str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerows(rows)
    body = stream.getvalue().encode()
    records = find_records(body, ",", 3, is_last=True)
    found = [next(csv.reader(io.StringIO(p.decode(), newline=""))) for p in pieces(body, records)]
    assert found == rows
    assert (records.cells == 3).all()
    assert not records.has_bad_quotes.any()
    assert records.used == len(body)


def test_a_stray_quote_spoils_its_own_line_only() -> None:
    body = b'a,1,x\nb,2,5" pipe\nc,3,y\n"d,4,z\ne,5,"w"\n'
    records = find_records(body, ",", 3, is_last=True)
    assert pieces(body, records) == [b"a,1,x", b'b,2,5" pipe', b"c,3,y", b'"d,4,z', b'e,5,"w"']
    assert records.has_bad_quotes.tolist() == [False, True, False, True, False]
    good = ~records.has_bad_quotes
    assert records.cells[good].tolist() == [3, 3, 3]


def test_an_open_quote_waits_for_the_next_block_unless_it_is_the_last() -> None:
    body = b'a,1,x\nb,2,"two\nlines'
    waits = find_records(body + b"\n", ",", 3, is_last=False)
    assert waits.used == len(b"a,1,x\n")
    ends = find_records(body + b"\n", ",", 3, is_last=True)
    assert ends.used == len(body) + 1
    assert ends.has_bad_quotes.tolist() == [False, True, False]


def test_a_quote_that_swallows_whole_rows_is_not_believed() -> None:
    body = b'"a,1,x\nb,2,y\nc,3,z"\n'
    records = find_records(body, ",", 3, is_last=True)
    assert len(records.starts) == 3
    assert records.has_bad_quotes.tolist() == [True, False, True]


def test_blank_lines_are_those_of_delimiters_alone() -> None:
    body = b"a,1,x\n\n,,\r\n\r\n, ,\n,,,,,\n"
    records = find_records(body, ",", 3, is_last=True)
    assert records.is_blank.tolist() == [False, True, True, True, False, True]


def test_counts_of_cells() -> None:
    body = b"a,b\na\na,b,c,d\n"
    assert np.array_equal(find_records(body, ",", 2, is_last=True).cells, [2, 1, 4])


STRAY = b'zz,5" pipe,yy'


def essays(rows: list[list[str]], places: list[int]) -> tuple[bytes, list[bytes]]:
    """Return a body of well-formed records with stray lines at `places`, and its records."""
    lines = []
    for row in rows:
        stream = io.StringIO(newline="")
        csv.writer(stream, lineterminator="\r\n").writerow(row)
        lines.append(stream.getvalue().removesuffix("\r\n").encode())
    for place in places:
        lines.insert(place % (len(lines) + 1), STRAY)
    return b"\n".join(lines) + b"\n", lines


@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=8),
    st.lists(st.integers(0, 20), max_size=3),
    st.integers(0, 20),
)
def test_long_cells_are_found_again_behind_stray_quotes_in_whatever_blocks(
    rows: list[list[str]], places: list[int], cut: int
) -> None:
    body, lines = essays(rows, places)
    whole = find_records(body, ",", 3, is_last=True, has_long_cells=True)
    assert pieces(body, whole) == lines
    assert whole.has_bad_quotes.tolist() == [line == STRAY for line in lines]
    assert (whole.cells[~whole.has_bad_quotes] == 3).all()
    ends = [at + 1 for at in range(len(body)) if body[at : at + 1] == b"\n"]
    first = body[: ends[cut % len(ends)]]
    before = find_records(first, ",", 3, is_last=False, has_long_cells=True)
    rest = body[before.used :]
    after = find_records(rest, ",", 3, is_last=True, has_long_cells=True)
    assert pieces(first, before) + pieces(rest, after) == lines


def test_an_open_quote_among_long_cells_is_given_up_in_the_end() -> None:
    body = b'a,"never closed,x\n' + b"b,2,y\n" * 5000
    records = find_records(body, ",", 3, is_last=False, has_long_cells=True)
    assert records.has_bad_quotes.tolist() == [True, *[False] * 5000]
    assert records.used == len(body)


def test_long_cells_may_have_more_lines_than_others() -> None:
    text = b"\n" * 200
    body = b'a,"' + text + b'",x\n'
    assert len(find_records(body, ",", 3, is_last=True, has_long_cells=True).starts) == 1
    assert len(find_records(body, ",", 3, is_last=True).starts) == 201


def test_without_quoting_a_quote_is_a_character() -> None:
    body = b'"a\t"b\tc\n\t"\t\n'
    records = find_records(body, "\t", 3, is_last=True, has_quotes=False)
    assert records.cells.tolist() == [3, 3]
    assert not records.has_bad_quotes.any()
