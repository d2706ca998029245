"""Deleting somebody's overrides from a journal: whole or not at all, beside those who append."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from components.overrides import FILE, Journal, Override, parsed, written

ONE = Override(
    id="0" * 16,
    made_utc="2026-11-21T20:00:00.000+00:00",
    application="essay_grading",
    release="essay_grading-000000000000",
    prompt="1",
    text="A text.",
    machine_score=None,
    score=2.0,
    reason="Why?",
    teacher="T",
    student="a" * 32,
    pseudonym_key_id="k" * 16,
)
THEIRS = "b" * 32


def numbered(number: int, student: str) -> Override:
    return replace(ONE, id=f"{number:016d}", student=student)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "kept")
    for number in range(10):
        made.append(numbered(number, THEIRS if number % 3 == 0 else "a" * 32))
    return made


def is_theirs(one: Override) -> bool:
    return one.student == THEIRS


def test_theirs_go_and_all_other_lines_stay_byte_for_byte(journal: Journal) -> None:
    lines = journal.path.read_bytes().splitlines(keepends=True)
    with journal.path.open("ab") as stream:
        stream.write(b"half a line\n" + written(numbered(77, THEIRS))[:-40] + b"\n")
    assert journal.drop(is_theirs, [THEIRS.encode()]) == 5
    assert journal.path.read_bytes() == b"".join(lines[n] for n in range(10) if n % 3) + b"half a line\n"
    assert journal.path.stat().st_mode & 0o777 == 0o600
    before = journal.path.stat().st_ino
    assert journal.drop(is_theirs, [THEIRS.encode()]) == 0
    assert journal.path.stat().st_ino == before, "nothing to delete, nothing written"
    assert Journal(journal.path.parent / "none").drop(is_theirs) == 0
    assert not (journal.path.parent / "none").exists()


def test_an_id_that_went_may_come_again(journal: Journal) -> None:
    journal.drop(is_theirs)
    assert journal.append(numbered(0, "a" * 32))
    assert not journal.append(numbered(1, "a" * 32)), "this one stayed"


def test_who_appends_meanwhile_loses_nothing(journal: Journal) -> None:
    """Each writer has the file open; the deletions put another in its place under them."""
    over = threading.Event()

    def append(start: int) -> None:
        writer = Journal(journal.path.parent)
        for number in range(start, start + 60):
            assert writer.append(numbered(number, "a" * 32))
            assert writer.append(numbered(number + 500, THEIRS))

    def delete() -> None:
        while not over.is_set():
            Journal(journal.path.parent).drop(is_theirs)

    writers = [threading.Thread(target=append, args=(start,)) for start in (1000, 2000)]
    eraser = threading.Thread(target=delete)
    for thread in (eraser, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    eraser.join()
    journal.drop(is_theirs)
    found = parsed(journal.path.read_bytes())
    kept = {1, 2, 4, 5, 7, 8, *range(1000, 1060), *range(2000, 2060)}
    assert ({int(one.id) for one in found.overrides}, found.damaged) == (kept, 0)


@pytest.mark.multiprocess
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_leaves_the_old_file_or_the_new_one(journal: Journal, when: str) -> None:
    old = journal.path.read_bytes()
    child = os.fork()
    if child == 0:
        replace_file = os.replace

        def dying(source: Path, target: Path) -> None:
            if when == "after":
                replace_file(source, target)
            os.kill(os.getpid(), signal.SIGKILL)

        os.replace = dying  # type: ignore[assignment]  # in this process, which dies of it
        Journal(journal.path.parent).drop(is_theirs)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = journal.path.read_bytes()
    assert (left == old) == (when == "before")
    assert journal.drop(is_theirs) == (4 if when == "before" else 0)
    assert [path.name for path in journal.path.parent.iterdir()] == [FILE]
    assert THEIRS.encode() not in journal.path.read_bytes()
