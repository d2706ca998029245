"""Valid tables to start from, one per layout: a few students with planted ids that must never be shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from components.ingest.config import ColumnMapping, IngestConfig

Cell = Callable[[str, int], str]
"""Student, number of the row -> text."""
CANARY = "kanari"
"""Stands in every student's id and in every text that mutations plant beside it."""


@dataclass(slots=True, kw_only=True)
class Table:
    """A table that mutations change in place; the first row is the header where there is one."""

    rows: list[list[str]]
    config: IngestConfig
    delimiter: str = ","
    has_header: bool = True
    text: list[str] = field(default_factory=list)
    """Whole lines, for layouts that are no tables; then `rows` is empty."""


def base(random: Random) -> Table:
    """Return a valid table in a layout drawn at random."""
    make = random.choice((native, native, native, mapped, mapped, item_rows, assistments, exam, sequences))
    table = make(random)
    if random.random() < 0.2:
        table.delimiter = random.choice((";", "\t", "|")) if table.has_header else table.delimiter
    return table


def _students(random: Random) -> list[str]:
    return [f"{CANARY}-{random.choice('abcdé')}{n}" for n in range(random.randint(1, 4))]


def _limit(random: Random) -> float:
    return random.choice((1.0, 1.0, 1.0, 0.05))


def native(random: Random) -> Table:
    """Return a table in our own layout, with some of the columns that may be left out."""
    cells: dict[str, Cell] = {
        "student": lambda s, n: s,
        "item": lambda s, n: f"t{random.randint(1, 6)}",
        "skills": lambda s, n: random.choice(("add", "add;mul", "Brüche", "")),
        "correct": lambda s, n: random.choice("01"),
        "score": lambda s, n: random.choice(("0", "0.5", "1", "")),
        "time": lambda s, n: str(1_700_000_000_000 + n * 61_000),
        "response_time": lambda s, n: str(random.randint(0, 90_000)),
        "attempt": lambda s, n: str(random.randint(1, 3)),
        "group_region": lambda s, n: random.choice(("north", "south")),
    }
    may_lack = [c for c in cells if c not in {"student", "item", "correct"} and random.random() < 0.4]
    names = [c for c in cells if c not in may_lack]
    rows = [[cells[c](s, n) for c in names] for s in _students(random) for n in range(random.randint(1, 6))]
    protocol = random.choice(("problem", "row_per_skill"))
    config = IngestConfig(
        quarantine_limit=_limit(random),
        protocol="problem" if protocol == "problem" else "row_per_skill",
        encoding=random.choice(("utf-8", "utf-8", "utf-8", "latin-1", "cp1252")),
    )
    return Table(rows=[names, *rows], config=config)


def mapped(random: Random) -> Table:
    """Return somebody else's table with its mapping: other names, words for right and wrong, dates, an order."""
    mapping = ColumnMapping(
        student="Kind", item="Aufgabe", skills="Thema", skill_separator="|", correct="Richtig", right_values=("ja",),
        wrong_values=("nein",), score="Punkte", decimal_comma=True, time="Zeit",
        time_unit=random.choice(("iso", "%d.%m.%Y %H:%M", "s")), order=random.choice((None, "Nummer")),
        response_time="Dauer", response_time_unit="s", attempt="Versuch", groups=("Schule",),
    )  # fmt: skip
    stamps: dict[str, Callable[[int], str]] = {
        "iso": lambda n: f"2025-09-{n % 28 + 1:02} 14:0{n % 10}",
        "s": lambda n: str(1_700_000_000 + n * 60),
        "%d.%m.%Y %H:%M": lambda n: f"{n % 28 + 1:02}.09.2025 14:0{n % 10}",
    }
    stamp = stamps[mapping.time_unit]
    header = ["Kind", "Aufgabe", "Thema", "Richtig", "Punkte", "Zeit", "Nummer", "Dauer", "Versuch", "Schule"]
    rows = [
        [
            s, f"A {random.randint(1, 6)}", random.choice(("Brüche", "Brüche|Terme")), random.choice(("ja", "Nein")),
            random.choice(("0,75", "1", "")), stamp(n), str(n // random.choice((1, 1, 2))), "12,5", "1", "Süd",
        ]
        for s in _students(random)
        for n in range(random.randint(1, 6))
    ]  # fmt: skip
    config = IngestConfig(mapping=mapping, quarantine_limit=_limit(random))
    return Table(rows=[header, *rows], config=config, delimiter=";")


def item_rows(random: Random) -> Table:
    """Return a table in the layout of that name."""
    header = ["user_id", "item_id", "timestamp", "correct", "skill_id"]
    rows = [
        [s, str(random.randint(100, 110)), str(n * 60), random.choice("01"), str(random.randint(20, 24))]
        for s in _students(random)
        for n in range(random.randint(1, 6))
    ]
    return Table(rows=[header, *rows], config=IngestConfig(quarantine_limit=_limit(random)))


def assistments(random: Random) -> Table:
    """Return a table like the ASSISTments export, with rows that are one answer."""
    header = ["order_id", "user_id", "problem_id", "correct", "attempt_count", "ms_first_response", "skill_id"]
    header += ["skill_name", "answer_text"]
    rows = []
    for s in _students(random):
        for n in range(random.randint(1, 5)):
            answer = [str(9_000 + n), s, f"p{random.randint(1, 6)}", random.choice("01"), "1", "2500"]
            rows += [[*answer, str(skill), f"skill name {skill}", "7"] for skill in range(random.randint(1, 3))]
    return Table(rows=[header, *rows], config=IngestConfig(quarantine_limit=_limit(random)))


def exam(random: Random) -> Table:
    """Return submissions of a timed exam, without a header."""
    rows = [
        [str(n * 1000 + 17), s, f"q{q}_{random.randint(1, 3)}", random.choice(("0.0", "0.5", "1.0"))]
        for s in _students(random)
        for n, q in enumerate(range(1, random.randint(2, 6)))
    ]
    return Table(rows=rows, config=IngestConfig(quarantine_limit=_limit(random)), delimiter="\t", has_header=False)


def sequences(random: Random) -> Table:
    """Return a file of three or four lines per student."""
    has_ids = random.random() < 0.5
    lines: list[str] = []
    for number, s in enumerate(_students(random)):
        count = random.randint(1, 6)
        lines.append(f"{number},{s}" if has_ids else str(count))
        if has_ids:
            lines.append(",".join(f"t{random.randint(1, 6)}" for _ in range(count)))
        lines.append(",".join(str(random.randint(1, 4)) for _ in range(count)))
        lines.append(",".join(random.choice("01") for _ in range(count)))
    return Table(rows=[], text=lines, config=IngestConfig(quarantine_limit=_limit(random)), has_header=False)
