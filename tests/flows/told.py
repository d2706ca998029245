"""Commands run in process through `main`, with what they said; and the student logs that they are given."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from flows.__main__ import main

STUDENT = "kanari"
HEADER = "student,item,skills,correct,time"
DAY_MS = 86_400_000
START_MS = 1_760_000_000_000


def rows(students: int = 8, answers: int = 6, skill: str = "add") -> list[str]:
    return [
        f"{STUDENT}-{s},t{n},{skill},{(s + n) % 2},{START_MS + s * 1000 + n * 60_000}"
        for s in range(students)
        for n in range(answers)
    ]


def table(*lines: str) -> bytes:
    return ("\n".join([HEADER, *lines]) + "\n").encode()


GOOD = table(*rows())
UMLAUTS = [line.replace("add", "Brüche") for line in rows()]
FUTURE = f"{STUDENT}-1,t99,add,1,{START_MS + 40_000 * DAY_MS}"
MILLION = f"{STUDENT}-1,{STUDENT * 200_000},add,1,{START_MS}"

Told = tuple[int, str, str]


def told(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Told:
    """Return the exit code, standard output and standard error of a command; no message shows a student or a trace."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert STUDENT not in err
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def ingest(data: Path | str, *more: str) -> list[str]:
    return ["stage", "ingest", "knowledge_tracing", "--data", str(data), *more]


def run(data: Path | str, *more: str) -> list[str]:
    return ["run", "knowledge_tracing", "--no-prefect", "--data", str(data), *more]
