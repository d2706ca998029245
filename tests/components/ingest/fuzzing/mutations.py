"""Ways to spoil a file: in its table, in its text, and in its bytes; each a function that is given the generator."""

import gzip
from random import Random

from tests.components.ingest.fuzzing.bases import CANARY, Table

ODD_NUMBERS = (
    "1e400", "-1e400", "nan", "NaN", "inf", "-inf", "-0", "0x1F", "1,234", "1.234,5", "1'000", "1_000", "٣", "½", "1e3",
    "+1", "1.0", "01", "1 ", "--1", "9" * 40, "-9223372036854775808", "18446744073709551616", "1e-320", "0.1.2", "1/2",
    "2147483648", "4294967296", "0,5", ".5", "5.", "∞", "1e", "e1", "true", "FALSE", "ja", "yes", "null", "None",
    "#N/A",
)  # fmt: skip
ODD_TIMES = (
    "2025-13-01", "2025-02-30 25:61", "30.09.2025", "09/30/2025 2:05 PM", "2025-09-30T14:05:00+25:00", "0000-00-00",
    "9999-12-31T23:59:59", "2999-01-01 00:00", "1899-12-30", "-1", "253402300799000", "9e15", "1e18", "45930.5",
    "2025-W40-2", "gestern", "2025-09-30T14:05:00Z", "2025-09-30T14:05:00.123456789Z", "٢٠٢٥-٠٩-٣٠", "24:00", "T", "Z",
    "2025-09-30 14:05:60", "16 Sept. 2025", "2025-09-30T14:05:00+0000+0000", "292278994-08-17",
)  # fmt: skip
ODD_TEXTS = (
    "", " ", "\t", "\u200b", "\u202e" + CANARY, "\u2066x\u2069", "e\u0301", "\ufeff", "\ufffd", "\u0000", "\u0085",
    "\u2028", "\U0001f600", "\ue000", "=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "-2+3", '=HYPERLINK("http://x")',
    "'; DROP TABLE x;--", "<script>", "../../etc/passwd", "%s%n", "{0}", "\x1b[31m", "\x07", "x" * 999, "x" * 1001,
    "é" * 600, CANARY + "x" * 2000, "\x1f", "a\x1fb", ";;;", "|", "null", "nan", "NA", "\x7f", "\xa0", "ß",
    "İ", "\u017f",
)  # fmt: skip
LONG = 300_000


def _body(table: Table) -> list[list[str]]:
    return table.rows[1:] if table.has_header else table.rows


def _some(random: Random, rows: list[list[str]]) -> list[list[str]]:
    return random.sample(rows, random.randint(1, len(rows))) if rows else []


# -- in the table ------------------------------------------------------------------------------------------------------


def lose_column(table: Table, random: Random) -> None:
    """Take a column out."""
    place = random.randrange(len(table.rows[0]))
    for row in table.rows:
        del row[place : place + 1]


def double_column(table: Table, random: Random) -> None:
    """Have a column twice, under its own name or another."""
    place = random.randrange(len(table.rows[0]))
    for row in table.rows:
        row.extend(row[place : place + 1])
    if random.random() < 0.5:
        table.rows[0][-1] = random.choice(("Extra", "", "student_2", table.rows[0][0].upper()))


def shuffle_columns(table: Table, random: Random) -> None:
    """Put the columns in another order."""
    order = list(range(len(table.rows[0])))
    random.shuffle(order)
    table.rows[:] = [[row[n] for n in order] if len(row) == len(order) else row for row in table.rows]


def rename_column(table: Table, random: Random) -> None:
    """Give a column another name, or two columns each other's."""
    names = table.rows[0]
    place = random.randrange(len(names))
    name = names[place]
    odd = (
        name.upper(),
        f" {name} ",
        f"\ufeff{name}",
        f"{name}\u200f",
        "",
        "1",
        "group_",
        "group_student",
        "time",
        name * 300,
    )
    if random.random() < 0.3:
        other = random.randrange(len(names))
        names[place], names[other] = names[other], names[place]
    else:
        names[place] = random.choice(odd)


def lose_cells(table: Table, random: Random) -> None:
    """Make some rows shorter."""
    for row in _some(random, _body(table)):
        del row[random.randrange(len(row) + 1) :]


def add_cells(table: Table, random: Random) -> None:
    """Make some rows longer."""
    for row in _some(random, _body(table)):
        row.extend([f"{CANARY}-more"] * random.randint(1, 4))


def odd_cells(table: Table, random: Random) -> None:
    """Put odd values into cells anywhere."""
    kinds = random.choice((ODD_NUMBERS, ODD_TIMES, ODD_TEXTS, ODD_NUMBERS + ODD_TIMES + ODD_TEXTS))
    for row in _some(random, _body(table)):
        if row:
            row[random.randrange(len(row))] = random.choice(kinds)


def odd_column(table: Table, random: Random) -> None:
    """Put odd values into every cell of a column."""
    kinds = random.choice((ODD_NUMBERS, ODD_TIMES, ODD_TEXTS))
    place = random.randrange(len(table.rows[0]))
    for row in _body(table):
        if place < len(row):
            row[place] = random.choice(kinds)


def swap_cells(table: Table, random: Random) -> None:
    """Shift the cells of some rows by one, as a delimiter too many does."""
    for row in _some(random, _body(table)):
        if row:
            row.insert(0, row.pop())


def repeat_rows(table: Table, random: Random) -> None:
    """Deliver some rows again."""
    table.rows.extend(list(row) for row in _some(random, _body(table)))


def repeat_header(table: Table, random: Random) -> None:
    """Have the header again between the rows, as joined files have."""
    table.rows.insert(random.randint(1, len(table.rows)), list(table.rows[0]))


def lose_header(table: Table, random: Random) -> None:
    """Leave the header out, so that data stand in its place."""
    del table.rows[0]


def words_as_header(table: Table, random: Random) -> None:
    """Have a person's words in the first line, which might pass for names of columns."""
    table.rows[0] = [f"{CANARY} {'abcdefghijklmn'[n % 14]}" for n in range(len(table.rows[0]))]


def lose_all_rows(table: Table, random: Random) -> None:
    """Keep the header alone."""
    del table.rows[1:]


def blank_rows(table: Table, random: Random) -> None:
    """Put rows without values between the others."""
    for _ in range(random.randint(1, 4)):
        empty = random.choice(([""], [""] * len(table.rows[0]), ["", ""], [" "]))
        table.rows.insert(random.randint(0, len(table.rows)), list(empty))


def huge_cell(table: Table, random: Random) -> None:
    """Make one cell very long."""
    rows = [row for row in _body(table) if row]
    if rows:
        row = random.choice(rows)
        row[random.randrange(len(row))] = CANARY * (LONG // len(CANARY))


def cells_over_lines(table: Table, random: Random) -> None:
    """Put line feeds, delimiters and quotes into cells; they are quoted as they should be."""
    for row in _some(random, _body(table)):
        if row:
            row[random.randrange(len(row))] += random.choice(
                ("\n", "\r\n", ",", ";", '"', '""', "\n\n", '","', "\n" * 70)
            )


TABLE = (
    lose_column, double_column, shuffle_columns, rename_column, lose_cells, add_cells, odd_cells, odd_cells, odd_column,
    swap_cells, repeat_rows, repeat_header, lose_header, words_as_header, lose_all_rows, blank_rows, cells_over_lines,
)  # fmt: skip
RARE_IN_TABLE = (huge_cell,)


# -- in the text -------------------------------------------------------------------------------------------------------


def stray_quotes(text: str, random: Random) -> str:
    """Put quotes anywhere."""
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(text))
        text = text[:at] + '"' + text[at:]
    return text


def other_delimiters(text: str, random: Random) -> str:
    """Use another delimiter in some lines."""
    lines = text.split("\n")
    for n in random.sample(range(len(lines)), random.randint(1, len(lines))):
        lines[n] = lines[n].replace(random.choice(",;\t|"), random.choice(",;\t|"))
    return "\n".join(lines)


def returns(text: str, random: Random) -> str:
    """End lines as other systems do: CRLF, CR alone, or each as it comes."""
    how = random.choice(("\r\n", "\r", None))
    if how is not None:
        return text.replace("\n", how)
    return "".join(random.choice(("\n", "\r\n", "\r")) if c == "\n" else c for c in text)


def zero_bytes(text: str, random: Random) -> str:
    """Put NULs anywhere."""
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(text))
        text = text[:at] + "\0" + text[at:]
    return text


def blank_lines(text: str, random: Random) -> str:
    """Put blank lines anywhere."""
    lines = text.split("\n")
    for _ in range(random.randint(1, 5)):
        lines.insert(random.randint(0, len(lines)), random.choice(("", " ", "\t", ",,,", '""', "\r")))
    return "\n".join(lines)


def garbage_behind(text: str, random: Random) -> str:
    """Put a note behind the table."""
    return text + random.choice(
        ("-- end of export --", "\n\n(12 rows)\n", "\x1a", "\0\0\0\0", f"total,{CANARY}\n", "\n" * 50)
    )


def garbage_before(text: str, random: Random) -> str:
    """Put a note before the table."""
    return random.choice(("sep=,\n", "# exported\n", "\n\n", f"Report of {CANARY}\n\n", "{", "\ufeff\ufeff")) + text


def lose_last_feed(text: str, random: Random) -> str:
    """Leave the last line without its end."""
    return text.rstrip("\n")


TEXT = (
    stray_quotes, other_delimiters, returns, returns, zero_bytes, blank_lines, garbage_behind, garbage_before,
    lose_last_feed,
)  # fmt: skip


# -- in the bytes ------------------------------------------------------------------------------------------------------


def flip_bytes(body: bytes, random: Random) -> bytes:
    """Change some bytes to any others."""
    octets = bytearray(body)
    for _ in range(random.randint(1, 8)):
        if octets:
            octets[random.randrange(len(octets))] = random.randrange(256)
    return bytes(octets)


def cut(body: bytes, random: Random) -> bytes:
    """End anywhere."""
    return body[: random.randint(0, len(body))]


def insert_bytes(body: bytes, random: Random) -> bytes:
    """Put bytes that are no UTF-8 anywhere."""
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(body))
        odd = random.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"))
        body = body[:at] + odd + body[at:]
    return body


def other_encoding(body: bytes, random: Random) -> bytes:
    """Be in another encoding, as a whole or from a line on."""
    text = body.decode(errors="replace")
    kind = random.choice(("latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "change"))
    if kind != "change":
        return text.encode(kind, errors="replace")
    at = text.rfind("\n", 0, random.randint(0, len(text))) + 1
    return text[:at].encode() + text[at:].encode("cp1252", errors="replace")


def packed(body: bytes, random: Random) -> bytes:
    """Be gzipped: once, twice, cut short, damaged, or with something behind."""
    whole = gzip.compress(body, compresslevel=1, mtime=0)
    return random.choice(
        (
            lambda: whole,
            lambda: gzip.compress(whole, compresslevel=1, mtime=0),
            lambda: cut(whole, random),
            lambda: flip_bytes(whole, random),
            lambda: whole + b"behind",
            lambda: whole + whole,
        )
    )()


BYTES = (flip_bytes, cut, insert_bytes, other_encoding, other_encoding, packed)
