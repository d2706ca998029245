"""What processes of a machine note: that they ended in good order, those of them that count."""

import os
import time
from pathlib import Path

import pytest

from components.launch.notices import Notices


def test_only_the_last_process_in_each_place_has_to_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notices, clock, back_s = Notices(tmp_path, 77), iter(range(9, 100)), iter(range(100))

    def note(what: str, place: int, pid: int) -> None:
        monkeypatch.setattr(os, "getpid", lambda: pid)
        monkeypatch.setattr(time, "monotonic_ns", lambda: next(clock))
        (notices.begin if what == "begun" else notices.end_well)(place)
        # The time of day goes back with every note: nothing may follow from it.
        back = 1_000_000_000 * (1000 - next(back_s))
        os.utime(tmp_path / "notices" / f"{notices._name}-{what}-{place}-{pid}", ns=(back, back))

    note("begun", 0, 501)
    note("begun", 1, 502)
    note("well", 0, 501)
    assert not notices.ended_well()  # the other place's has not
    note("begun", 1, 499)  # the first one there was replaced when a machine joined
    note("well", 1, 499)
    assert notices.ended_well()
    note("begun", 0, 498)
    assert not notices.ended_well()
    note("well", 0, 498)
    assert notices.ended_well()
    assert Notices(tmp_path, 78).ended_well()  # of an engine that began nothing


def test_who_was_late_is_told_by_what_was_there_before_and_not_by_a_clock(tmp_path: Path) -> None:
    folder = tmp_path / "notices"
    Notices(tmp_path, 77).accuse([3, 4], 0)
    notices = Notices(tmp_path, 78)
    before = notices.late()
    assert notices.accused(before) == set()
    Notices(tmp_path, 77).accuse([5], 1)
    for age_s in (10, 86_400):  # by the clock of another machine
        made = time.time() - age_s
        os.utime(folder / "late-1-5", (made, made))
        assert notices.accused(before) == {("1", "5")}
    (folder / "late-0-3").unlink()
    Notices(tmp_path, 77).accuse([3], 0)
    os.utime(folder / "late-0-3", (made, made))
    assert notices.accused(before) == {("1", "5"), ("0", "3")}, "noted again"
