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
