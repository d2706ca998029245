"""What readers may be told: quotes off, lists left as text, lines in another encoding counted."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import SchemaError
from components.ingest.files import RawFile
from components.ingest.heads import read_head
from components.ingest.rows import TextOptions
from components.ingest.tables import check_columns, read_table, text_options


def raw(tmp_path: Path, body: bytes, kind: str = "text") -> RawFile:
    path = tmp_path / "a.csv"
    path.write_bytes(body)
    return RawFile(
        path=path,
        index=0,
        name="a.csv",
        digest=hashlib.sha256(body).hexdigest(),
        role="any",
        format="json" if kind == "json" else "text",
    )


def options_of(file: RawFile) -> TextOptions:
    return text_options(read_head(file), delimiter="auto", encoding="utf-8", fallback="cp1252")


def test_with_quotes_off_a_cell_keeps_them(tmp_path: Path) -> None:
    file = raw(tmp_path, b'a\tb\n"x" y"\t1\n"\t2\n')
    (block,) = read_table(file, read_head(file), ("a", "b"), replace(options_of(file), has_quotes=False))
    assert block.frame.select("a", "b").rows() == [('"x" y"', "1"), ('"', "2")]


def test_lines_in_the_fallback_encoding_are_counted(tmp_path: Path) -> None:
    file = raw(tmp_path, "a,b\nü,1\n".encode() + "ü,2\nü,3\n".encode("cp1252"))
    (block,) = read_table(file, read_head(file), ("a", "b"), options_of(file))
    assert block.frame["a"].to_list() == ["ü"] * 3
    assert block.repaired_lines == 2
    plain = replace(options_of(file), fallback=None)
    (block,) = read_table(file, read_head(file), ("a", "b"), plain)
    assert block.repaired_lines == 0


@pytest.mark.parametrize(("joins", "expected"), [(True, "1\x1f2"), (False, "[1,2]")])
def test_lists_in_json_are_joined_or_left_as_they_are(tmp_path: Path, joins: bool, expected: str) -> None:
    file = raw(tmp_path, b'{"a": [1, 2]}\n', "json")
    (block,) = read_table(file, read_head(file), ("a",), replace(options_of(file), joins_lists=joins))
    assert block.frame["a"].item().replace(" ", "") == expected


def test_columns_that_lack_or_come_twice_are_named(tmp_path: Path) -> None:
    file = raw(tmp_path, b"")
    with pytest.raises(SchemaError, match=r"a.csv lacks the column\(s\) c, d"):
        check_columns(file, ("a", "c", "d"), ("a", "b"))
    with pytest.raises(SchemaError, match=r"has the column\(s\) a twice"):
        check_columns(file, ("a",), ("a", "b", "a"))
