"""The launcher's own decisions; what it does with processes is tested in strategies/test_ddp.py."""

from __future__ import annotations

import sys
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
