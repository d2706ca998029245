"""What processes of a machine note: that they ended in good order, those of them that count."""

import os
from pathlib import Path

import pytest

from components.launch.notices import Notices


def test_only_the_last_process_in_each_place_has_to_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notices, clock = Notices(tmp_path, 77), iter(range(1, 100))

    def note(what: str, place: int, pid: int) -> None:
        monkeypatch.setattr(os, "getpid", lambda: pid)
        (notices.begin if what == "begun" else notices.end_well)(place)
        time_ns = next(clock) * 1_000_000_000
        os.utime(tmp_path / "notices" / f"{notices._name}-{what}-{place}-{pid}", ns=(time_ns, time_ns))

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
