"""The journal of overrides: what was acknowledged is there exactly once, whatever was killed, torn or moved away."""

import json
import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from components.errors import StoreError
from components.overrides import FILE, Journal, Override, parsed, snapshot, written

ROOT = Path(__file__).resolve().parents[2]


def override(number: int = 0, **values: Any) -> Override:
    """Return one of many different overrides."""
    made = Override(
        id=f"{number:032d}",
        made_utc="2026-11-21T20:00:00.000+00:00",
        application="essay_grading",
        release="essay_grading-000000000000",
        prompt="1",
        text=f"A text of a student, number {number}: \u201eü\u201c\nand a second line.",
        machine_score=None if number % 2 else 3.0,
        score=4.0,
        reason="The second argument was overlooked.",
        teacher="Ms Noether",
    )
    return replace(made, **values)


def stored(folder: Path) -> list[Override]:
    return list(parsed((folder / FILE).read_bytes()).overrides)


def test_what_is_appended_is_read_back_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    journal = Journal(folder)
    assert journal.append(override(1))
    assert journal.append(override(2))
    journal.close()
    assert stored(folder) == [override(1), override(2)]
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert Journal(folder).check() == 2


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / FILE).touch(0o644)
    Journal(tmp_path).append(override())
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_sending_again_stores_nothing_twice_also_through_another_process(tmp_path: Path) -> None:
    first, second = Journal(tmp_path), Journal(tmp_path)  # two descriptors lock each other out as two processes do
    assert first.append(override(1))
    assert not second.append(override(1))
    assert second.append(override(2))
    assert not first.append(override(2))
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 2


@pytest.mark.parametrize("cut", [1, 2, 20, 200])
def test_a_torn_tail_is_skipped_counted_and_harms_no_later_line(tmp_path: Path, cut: int) -> None:
    Journal(tmp_path).append(override(1))
    whole = written(override(2))
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(whole[:-cut])
    found = parsed((tmp_path / FILE).read_bytes())
    torn = 0 if cut == 1 else 1  # all but the line's end is an override still
    assert found.damaged == torn
    Journal(tmp_path).append(override(3))
    found = parsed((tmp_path / FILE).read_bytes())
    assert [one.id for one in found.overrides] == [override(n).id for n in ([1, 2, 3] if cut == 1 else [1, 3])]
    assert found.damaged == torn


def test_what_was_changed_or_is_none_is_no_override() -> None:
    line = written(override(1))
    value = json.loads(line)
    value["override"]["score"] = 6.0
    others = [
        json.dumps(value).encode(),
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        line.replace(b"0", b"1", 1),
    ]
    newer = asdict(override(2, format=2))
    found = parsed(b"\n".join([*others, line, written(replace(override(2), format=2))]))
    assert newer["format"] == 2
    assert found.overrides == (override(1),)
    assert found.damaged == len(others) + 1


def test_a_snapshot_is_the_same_for_the_same_overrides() -> None:
    both = [override(1), override(2)]
    assert parsed(snapshot(both)).overrides == tuple(both)
    assert snapshot(both) == snapshot(parsed(b"torn\n" + snapshot(both)).overrides)


def test_a_file_that_was_moved_away_is_not_written_to_unseen(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(override(1))
    (tmp_path / FILE).rename(tmp_path / "archive.jsonl")
    assert journal.append(override(2))
    assert stored(tmp_path) == [override(2)]


def test_a_folder_that_cannot_be_written_is_said_without_the_text(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not be stored") as caught:
        Journal(tmp_path / "file" / "folder").append(override())
    assert "student" not in str(caught.value)
    with pytest.raises(StoreError, match="cannot be stored"):
        Journal(tmp_path / "file" / "folder").check()


def test_a_full_disk_is_an_error_and_the_next_try_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    real, calls = os.write, []

    def half(handle: int, body: Any) -> int:
        calls.append(handle)
        if len(calls) == 1:
            return real(handle, bytes(body)[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(StoreError, match="No space left"):
        journal.append(override(1))
    monkeypatch.undo()
    assert journal.append(override(1))
    assert stored(tmp_path) == [override(1)]


def test_threads_and_processes_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_many, args=(tmp_path, p * 1000, 20)) for p in (1, 2)]
    for process in processes:
        process.start()
    journal = Journal(tmp_path)
    threads = [
        threading.Thread(target=lambda n=n: [journal.append(override(n + i)) for i in range(20)]) for n in (0, 500)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for process in processes:
        process.join(60)
    ids = [one.id for one in stored(tmp_path)]
    assert len(ids) == len(set(ids)) == 80
    assert not parsed((tmp_path / FILE).read_bytes()).damaged


def append_many(folder: Path, start: int, count: int) -> None:
    journal = Journal(folder)
    for number in range(start, start + count):
        journal.append(override(number))


WRITER = """
import sys
from pathlib import Path
from components.overrides import Journal
from tests.components.test_overrides import override

journal = Journal(Path(sys.argv[1]))
start = int(sys.argv[2])
print("ready", flush=True)
for number in range(start, start + 100_000):
    journal.append(override(number))
    print(number, flush=True)
"""


def killed_writers(folder: Path, times: int) -> None:
    """Kill a writer `times` times at a time of chance; what it had acknowledged must be there, once."""
    chance = random.Random(7)
    acknowledged: list[int] = []
    for turn in range(times):
        command = [sys.executable, "-c", WRITER, str(folder), str(turn * 100_000)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            acknowledged.append(int(running.stdout.readline()))
            time.sleep(chance.random() * 0.03)
            running.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in running.stdout.read().splitlines(keepends=True) if line[-1] == "\n"]
    lines = (folder / FILE).read_bytes().split(b"\n")
    ids = [one.id for line in lines for one in parsed(line).overrides]
    assert len(acknowledged) >= times
    assert {override(number).id for number in acknowledged} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    killed_writers(tmp_path, 4)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_two_hundred_killed_writers_lose_nothing(tmp_path: Path) -> None:
    killed_writers(tmp_path, 200)


def test_ids_of_clients_are_theirs(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    ids = [uuid.uuid4().hex for _ in range(3)]
    assert [journal.append(override(id=one)) for one in (*ids, ids[0])] == [True, True, True, False]
