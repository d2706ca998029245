"""Orphans of a job are found by their group, whatever the clock did since they began."""

import os
import subprocess
import sys

import pytest

from components.launch.processes import kill_all, members_of
from tests.clock import set_clock


@pytest.mark.parametrize("step_s", [0.0, -6 * 3600.0, 6 * 3600.0])
def test_members_of_a_group_are_those_that_began_after_this_process(
    monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        set_clock(monkeypatch, step_s)
        assert [one.pid for one in members_of([child.pid])] == [child.pid]
        assert members_of([]) == []
        kill_all(members_of([child.pid]))
        assert members_of([child.pid]) == []
    finally:
        child.kill()
        child.wait()


def test_what_is_older_than_this_process_is_no_member() -> None:
    """The group is one that the test's own process leads or is in, and so is its parent, where the two share it."""
    ask = (
        "import os, sys; from components.launch.processes import members_of; "
        "print(sorted(one.pid for one in members_of([os.getpgrp()])) == [os.getpid()], os.getpgrp())"
    )
    found = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=os.getcwd(), env=os.environ
    )
    assert found.stdout.split()[1] == str(os.getpgrp()), "this older process is in the group"
    assert found.stdout.split()[0] == "True"
