"""The launcher's own decisions; what it does with processes is tested in strategies/test_ddp.py."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from trainer.errors import MisconfigurationException
from trainer.launching.launchers import SubprocessLauncher, guard_child, report_failure


def test_an_interactive_interpreter_cannot_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(MisconfigurationException, match="Got 'an interactive interpreter'; expected a script file"):
        SubprocessLauncher(2)


def test_the_first_report_of_a_child_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "rank-1.txt"
    report_failure(ValueError("nobody asks"))
    monkeypatch.setenv("TRAINER_ERROR_FILE", str(report))
    report_failure(ValueError("not a child"))
    assert not report.exists()
    monkeypatch.setenv("TRAINER_PARENT_PID", "1")
    report_failure(ValueError("first"))
    report_failure(ValueError("second"))
    assert report.read_text() == "ValueError: first\n"


def test_a_process_of_its_own_is_not_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = sys.excepthook
    guard_child()
    assert sys.excepthook is hook


def test_a_rank_that_has_reported_and_not_ended_yet_is_the_cause(tmp_path: Path) -> None:
    """On a busy machine a process takes longer to end than the others' connections take to break."""
    launcher = object.__new__(SubprocessLauncher)
    launcher._reports, launcher._failure, launcher._ending, launcher._lock = tmp_path, None, False, threading.Lock()
    launcher.children = [None, None]  # type: ignore[list-item]  # nobody asks them
    assert launcher.failure(wait_s=0.01) is None
    for rank, age_s in ((2, 10), (1, 0)):
        report = tmp_path / f"rank-{rank}.txt"
        report.write_text(f"ZeroDivisionError: rank {rank}\n")
        os.utime(report, (time.time() - age_s, time.time() - age_s))
    found = launcher.failure(wait_s=0.01)
    assert found is not None
    assert "Rank 2 failed first" in str(found)
    assert "ZeroDivisionError: rank 2" in str(found)
