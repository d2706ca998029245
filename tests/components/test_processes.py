"""A process is known by its start, also when the clock was set and when its number is another's now."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components import processes
from components.processes import Start, is_same, start_of
from tests.clock import set_clock

SLEEP = [sys.executable, "-c", "input()"]
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@linux_only
def test_a_start_lies_between_the_moments_before_and_after_it() -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE) as child:
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
        found = start_of(child.pid)
        assert found is not None
        assert before - tick <= found.at_s <= after
        assert found.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert found.utc_s() == pytest.approx(time.time(), abs=5.0)


def test_what_is_gone_or_only_waits_to_be_waited_for_does_not_run() -> None:
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE) as child:
        found = start_of(child.pid)
        assert found is not None
        assert is_same(child.pid, found)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it ended, and stays as a zombie
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        assert start_of(child.pid) is None
        assert not is_same(child.pid, found)
    assert start_of(child.pid) is None
    assert not is_same(child.pid, found)


def test_a_number_that_is_another_s_now_is_not_the_same() -> None:
    found = start_of(os.getpid())
    assert found is not None
    assert is_same(os.getpid(), found)
    assert not is_same(os.getpid(), found._replace(at_s=found.at_s - 0.01))
    assert not is_same(os.getpid(), found._replace(boot="another"))


@linux_only
@pytest.mark.parametrize("step_s", [-3600.0, -1.0, 1.0, 3600.0])
def test_a_step_of_the_clock_changes_nothing(step_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    before = start_of(os.getpid())
    assert before is not None
    shown = before.utc_s()
    set_clock(monkeypatch, step_s)
    assert start_of(os.getpid()) == before
    assert is_same(os.getpid(), before)
    assert before.utc_s() == pytest.approx(shown + step_s), "what people are shown goes with their clock"


def test_without_an_id_of_the_system_s_start_the_time_of_day_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BOOT_ID", tmp_path / "none")
    found = start_of(os.getpid())
    assert found == Start("", psutil.Process().create_time())
    assert found.utc_s() == found.at_s
    assert is_same(os.getpid(), found)
    assert not is_same(os.getpid(), Start("", found.at_s - 3.0))
