"""Hostile files of scored writing from a seed: a valid table or question, spoiled in zero to four ways."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import polars as pl

from components.ingest.config import IngestConfig
from components.writing.ingest.config import WritingIngestConfig
from tests.components.ingest.fuzzing import mutations
from tests.components.ingest.fuzzing.bases import Table
from tests.components.ingest.fuzzing.files import HostileFile
from tests.components.writing.ingest.fuzzing.bases import base, native, question


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileWriting:
    """A file, what is known of it, and how it is read."""

    file: HostileFile
    config: WritingIngestConfig


def _file(seed: int, name: str, body: bytes, spoiled: list[str], table: Table | None = None) -> HostileFile:
    return HostileFile(
        seed=seed,
        name=name,
        body=body,
        config=IngestConfig(),
        delimiter="" if table is None else table.delimiter,
        has_header=table is not None,
        is_table=table is not None,
        spoiled=tuple(spoiled),
    )


def hostile_csv(seed: int) -> HostileWriting:
    """Return the CSV file that belongs to a seed."""
    random = Random(seed)
    table, config = base(random)
    if random.random() < 0.2:
        table.delimiter = random.choice(("\t", "|", ";"))
    spoiled: list[str] = []
    for _ in range(random.choice((0, 1, 1, 1, 2, 2))):
        if not table.rows or not table.rows[0]:
            break
        change = random.choice(mutations.TABLE)
        change(table, random)
        spoiled.append(change.__name__)
    stream = io.StringIO(newline="")
    quoting = random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    csv.writer(stream, delimiter=table.delimiter, lineterminator="\n", quoting=quoting).writerows(table.rows)  # type: ignore[arg-type]  # choice of literals is int
    text = stream.getvalue()
    if random.random() < 0.4:
        spoil = random.choice(mutations.TEXT)
        text = spoil(text, random)
        spoiled.append(spoil.__name__)
    body = _damaged(text.encode(errors="surrogatepass"), random, spoiled, 0.4)
    return HostileWriting(file=_file(seed, f"essays{seed}.csv", body, spoiled, table), config=config)


def hostile_json(seed: int) -> HostileWriting:
    """Return the file of JSON lines that belongs to a seed."""
    random = Random(seed)
    table, config = native(random)
    spoiled = _spoiled(table, random)
    lines = []
    for row in table.rows[1:]:
        value: object = dict(zip(table.rows[0], row, strict=False))
        if random.random() < 0.15:
            value = random.choice((
                None, 7, [], {}, {"text": ["a", None]}, {"text": "x", "prompt": "1", "score": 10**40},
                {"text": "\ud800", "prompt": {"a": 1}, "response": 1.5, "score": True}, {"text": "[1, 2]"},
            ))  # fmt: skip
        line = json.dumps(value)
        lines.append(random.choice((line[:-1], line * 2, "[" * 5000)) if random.random() < 0.05 else line)
    body = _damaged(("\n".join(lines) + "\n").encode(), random, spoiled, 0.4)
    return HostileWriting(
        file=_file(seed, f"essays{seed}.jsonl", body, spoiled), config=replace(config, quarantine_limit=1.0)
    )


def hostile_parquet(seed: int) -> HostileWriting:
    """Return the Parquet file that belongs to a seed: columns of other types, odd values, damaged bytes."""
    random = Random(seed)
    table, config = native(random)
    spoiled = _spoiled(table, random)
    columns = {}
    for place, name in enumerate(table.rows[0]):
        text = pl.Series(name, [row[place] if place < len(row) else None for row in table.rows[1:]], dtype=pl.String)
        number = text.cast(pl.Float64, strict=False)
        kinds = (
            text.str.encode("hex").str.decode("hex"), number,
            number.cast(pl.Int64, strict=False),
            text.cast(pl.Categorical), text.reshape((-1, 1)).cast(pl.List(pl.String)), number > 0,
            pl.Series(name, [None] * len(text)), number.fill_null(float("nan")),
            text.to_frame().select(pl.struct(pl.all()).alias(name)).to_series(),
        )  # fmt: skip
        columns[name] = random.choice(kinds) if random.random() < 0.15 else text
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    body = stream.getvalue()
    if random.random() < 0.25:
        body = random.choice((mutations.flip_bytes, mutations.cut, mutations.packed))(body, random)
        spoiled.append("damaged")
    return HostileWriting(
        file=_file(seed, f"essays{seed}.parquet", body, spoiled), config=replace(config, quarantine_limit=1.0)
    )


def hostile_xml(seed: int) -> HostileWriting:
    """Return the question that belongs to a seed."""
    random = Random(seed)
    text = question(random)
    spoiled: list[str] = []
    for _ in range(random.choice((0, 1, 1, 2))):
        spoils: tuple[Callable[[str], str], ...] = (
            lambda t: t.replace("</studentAnswer>", "", 1), lambda t: t.replace('accuracy="correct"', "", 1),
            lambda t: t.replace(' id="ME.', ' nr="ME.', 1), lambda t: t.replace('id="ME_65a"', "", 1),
            lambda t: t.replace("question", "quest"), lambda t: t.replace("will", "&unknown;", 1),
            lambda t: '<!DOCTYPE q [<!ENTITY a "b">]>' + t, lambda t: t.replace('"1.0"?', '"1.0" encoding="ebcdic"?'),
            lambda t: t.replace("correct", "perfect", 1), lambda t: t.replace("light", "\x00", 1),
        )  # fmt: skip
        text = random.choice(spoils)(text)
        spoiled.append("xml")
    body = _damaged(text.encode(), random, spoiled, 0.4)
    config = WritingIngestConfig(quarantine_limit=1.0)
    return HostileWriting(file=_file(seed, f"question{seed}.xml", body, spoiled), config=config)


def _spoiled(table: Table, random: Random) -> list[str]:
    changes = random.sample((mutations.odd_cells, mutations.odd_column, mutations.repeat_rows), random.randint(0, 2))
    for change in changes:
        change(table, random)
    return [change.__name__ for change in changes]


def _damaged(body: bytes, random: Random, spoiled: list[str], share: float) -> bytes:
    if random.random() >= share:
        return body
    damage = random.choice(mutations.BYTES)
    spoiled.append(damage.__name__)
    return damage(body, random)
