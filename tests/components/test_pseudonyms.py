"""Pseudonyms: what they are made of, and that no raw id gets past them."""

import hashlib
import hmac
import json
from pathlib import Path

import polars as pl
import pytest

from components.errors import PipelineError
from components.ingest.config import ColumnMapping, IngestConfig
from components.pseudonyms import pseudonyms
from components.secrets import SecretKey
from tests.components.ingest.running import KEY, ingest_files

STUDENTS = [f"maria.lopez.{n}@district.example" for n in range(7)]


def test_a_pseudonym_is_the_first_half_of_a_keyed_digest() -> None:
    expected = hmac.new(KEY.value, b"student\x00" + STUDENTS[0].encode(), hashlib.sha256).hexdigest()[:32]
    assert pseudonyms(KEY, STUDENTS[:1]) == [expected]


def test_another_key_gives_others_and_the_same_key_the_same() -> None:
    first, again = pseudonyms(KEY, STUDENTS), pseudonyms(KEY, STUDENTS)
    assert first == again
    assert not set(first) & set(pseudonyms(SecretKey(b"another key, 32 bytes long......"), STUDENTS))


def rows(students: list[str], *, bad: bool = False) -> str:
    lines = ["student,item,correct,time,group_home"]
    for number, student in enumerate(students * 3):
        lines.append(f"{student},i{number % 4},{number % 2},{1000 + number},h{number % 2}")
        if bad:
            lines += [f"{student},i1,2,1,h", f"{student},i1", f'{student}"x,i1,1,1,h']
    return "\n".join(lines) + "\n"


def test_no_raw_id_is_in_any_published_byte(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": rows(STUDENTS, bad=True)}, IngestConfig(quarantine_limit=1.0))
    assert outcome.logs.quarantined == 63
    places = [p for p in (tmp_path / "store").rglob("*") if p.is_file()]
    assert {"interactions.parquet", "students.parquet", "quarantine.parquet", "report.json"} <= {p.name for p in places}
    for path in places:
        text = path.read_bytes()
        if path.suffix == ".parquet":  # its pages are compressed: look at what is in them, too
            text += pl.read_parquet(path).write_json().encode()
        for student in (*STUDENTS, "maria", "lopez"):
            assert student.encode() not in text, path.name
    said = " ".join(outcome.said) + json.dumps(outcome.logs.to_json())
    assert "maria" not in said
    assert sorted(outcome.students["student"]) == sorted(pseudonyms(KEY, STUDENTS))


@pytest.mark.parametrize(
    ("body", "config"),
    [
        (rows(STUDENTS, bad=True), IngestConfig()),  # too many bad rows
        (rows(STUDENTS).replace("student,", "pupil,"), IngestConfig()),  # not recognised
        (rows(STUDENTS).split("\n", 1)[1], IngestConfig()),  # no header: the first line is a student's
        ("\n".join(f"{s},fractions,true,home" for s in STUDENTS), IngestConfig()),
        (rows(STUDENTS), IngestConfig(mapping=ColumnMapping(student="x", correct="correct", item="item"))),
        ("\n".join(f'{{"{s}": 1}}' for s in STUDENTS), IngestConfig()),  # ids as keys
        (json.dumps(dict.fromkeys(STUDENTS, 1)), IngestConfig()),
    ],
)
def test_no_raw_id_is_in_an_error(tmp_path: Path, body: str, config: IngestConfig) -> None:
    with pytest.raises(PipelineError) as caught:
        ingest_files(tmp_path, {"a.csv": body}, config)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "maria" not in str(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
