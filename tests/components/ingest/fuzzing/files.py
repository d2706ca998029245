"""Hostile files from a seed: a valid table, spoiled in zero to four ways."""

import csv
import io
import json
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import polars as pl

from components.ingest.config import IngestConfig
from tests.components.ingest.fuzzing import mutations
from tests.components.ingest.fuzzing.bases import Table, base, native


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileFile:
    """A file and what is known of it."""

    seed: int
    name: str
    body: bytes
    config: IngestConfig
    delimiter: str
    has_header: bool
    is_table: bool
    spoiled: tuple[str, ...]
    """Names of the mutations, in order."""


def hostile_csv(seed: int) -> HostileFile:
    """Return the CSV file that belongs to a seed."""
    random = Random(seed)
    table = base(random)
    spoiled: list[str] = []
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3))):
        if not table.rows or not table.rows[0]:
            break
        change = random.choice(mutations.TABLE if random.random() < 0.99 else mutations.RARE_IN_TABLE)
        change(table, random)
        spoiled.append(change.__name__)
    text = _rendered(table, random)
    if random.random() < 0.4:
        spoil = random.choice(mutations.TEXT)
        text = spoil(text, random)
        spoiled.append(spoil.__name__)
    body = text.encode(errors="surrogatepass")
    if random.random() < 0.4:
        damage = random.choice(mutations.BYTES)
        body = damage(body, random)
        spoiled.append(damage.__name__)
    return HostileFile(
        seed=seed,
        name=f"answers{seed}.csv",
        body=body,
        config=table.config,
        delimiter=table.delimiter,
        has_header=table.has_header,
        is_table=not table.text,
        spoiled=tuple(spoiled),
    )


def _rendered(table: Table, random: Random) -> str:
    if table.text:
        return "\n".join(table.text) + "\n"
    stream = io.StringIO(newline="")
    quoting = random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    csv.writer(stream, delimiter=table.delimiter, lineterminator="\n", quoting=quoting).writerows(table.rows)  # type: ignore[arg-type]  # choice of literals is int
    return stream.getvalue()


def hostile_json(seed: int) -> HostileFile:
    """Return the file of JSON lines that belongs to a seed."""
    random = Random(seed)
    table = native(random)
    names = table.rows[0]
    spoiled: list[str] = []
    for change in random.sample(
        (mutations.odd_cells, mutations.odd_column, mutations.repeat_rows), random.randint(0, 2)
    ):
        change(table, random)
        spoiled.append(change.__name__)
    lines = []
    for row in table.rows[1:]:
        value: Any = {n: _as_json(random, v) for n, v in zip(names, row, strict=False)}
        if random.random() < 0.1:
            odd: Any = random.choice((
                None, 7, [], "text", {}, {"student": value}, {**value, "student": None}, {**value, "student": [1, "a"]},
                {**value, "correct": {"a": 1}}, {**value, "item": "\ud800"}, {**value, "student": "\ud800x"},
                {**value, "correct": 10**40}, {**value, "skills": ["a", None, "b"]}, {**value, "time": 1e300},
            ))  # fmt: skip
            value = odd
        line = json.dumps(value, ensure_ascii=random.random() < 0.5 or "ud800" in json.dumps(value))
        lines.append(line.replace("1e+300", random.choice(("1e400", "NaN", "1e300"))))
        if random.random() < 0.05:
            lines[-1] = random.choice(
                (lines[-1][:-1], lines[-1] + "}", "[" * 5000, lines[-1] * 2, lines[-1] + ",", "{'a': 1}")
            )
            spoiled.append("damaged line")
    body = ("\n".join(lines) + "\n").encode(errors="surrogatepass")
    if random.random() < 0.5:
        damage = random.choice((*mutations.BYTES, lambda b, r: b.replace(b"\n", b"\r\n")))
        body = damage(body, random)
        spoiled.append(damage.__name__)
    return HostileFile(
        seed=seed,
        name=f"answers{seed}.jsonl",
        body=body,
        config=replace(table.config, quarantine_limit=1.0),
        delimiter="",
        has_header=False,
        is_table=False,
        spoiled=tuple(spoiled),
    )


def _as_json(random: Random, cell: str) -> Any:
    return (
        random.choice((cell, cell, cell, int(cell) if cell.isascii() and cell.isdecimal() else cell, [cell], True, 0.5))
        if random.random() < 0.1
        else cell
    )


def hostile_parquet(seed: int) -> HostileFile:
    """Return the Parquet file that belongs to a seed: columns of other types, odd values, damaged bytes."""
    random = Random(seed)
    table = native(random)
    names = table.rows[0]
    spoiled: list[str] = []
    for change in random.sample(
        (mutations.odd_cells, mutations.odd_column, mutations.repeat_rows), random.randint(0, 2)
    ):
        change(table, random)
        spoiled.append(change.__name__)
    columns: dict[str, pl.Series] = {}
    for place, name in enumerate(names):
        text = pl.Series(name, [row[place] for row in table.rows[1:]], dtype=pl.String)
        columns[name] = _retyped(random, text) if random.random() < 0.15 else text
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    body = stream.getvalue()
    if random.random() < 0.25:
        damage = random.choice((mutations.flip_bytes, mutations.cut, mutations.packed))
        body = damage(body, random)
        spoiled.append(damage.__name__)
    return HostileFile(
        seed=seed,
        name=f"answers{seed}.parquet",
        body=body,
        config=replace(table.config, quarantine_limit=1.0),
        delimiter="",
        has_header=False,
        is_table=False,
        spoiled=tuple(spoiled),
    )


def _retyped(random: Random, text: pl.Series) -> pl.Series:
    """Return a column in another of Parquet's types."""
    number = text.cast(pl.Float64, strict=False)
    kinds = (
        lambda: text.cast(pl.Categorical),
        lambda: text.str.encode("hex").str.decode("hex"),
        lambda: number,
        lambda: number.cast(pl.Float32),
        lambda: number.cast(pl.Int64, strict=False),
        lambda: number.cast(pl.UInt64, strict=False),
        lambda: number.cast(pl.Int8, strict=False),
        lambda: number.cast(pl.Int64, strict=False).cast(pl.Datetime("us")),
        lambda: (number.cast(pl.Int64, strict=False) % 10_000).cast(pl.Int32).cast(pl.Date),
        lambda: number.cast(pl.Int64, strict=False).cast(pl.Duration("ms")),
        lambda: (number.cast(pl.Int64, strict=False) % 86_400).cast(pl.Time),
        lambda: (number % 10_000).cast(pl.Decimal(12, 2), strict=False),
        lambda: number > 0,
        lambda: text.reshape((-1, 1)).cast(pl.List(pl.String)),
        lambda: text.to_frame().select(pl.struct(pl.all()).alias(text.name)).to_series(),
        lambda: number.reshape((-1, 1)),
        lambda: pl.Series(text.name, [None] * len(text)),
        lambda: pl.Series(text.name, [None] * len(text), dtype=pl.String),
        lambda: number.fill_null(float("nan")),
    )
    return random.choice(kinds)()
