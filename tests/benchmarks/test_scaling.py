"""benchmarks/scaling.py: it runs in two processes, and its figures are what they are said to be."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.scaling import missed, run, start, summarise


@pytest.mark.soak
@pytest.mark.multiprocess
def test_it_runs_in_two_processes() -> None:
    found = summarise(start(rounds=3, steps=1), steps=1)
    assert set(found["step_ms"]) == {"trainer", "torch", "alone"}
    assert all(value > 0 for value in found["step_ms"].values())
    assert found["blocks"] == 2
    assert 0.5 <= found["fsdp share"] <= 0.55
    assert 0.5 <= found["zero state share"] <= 0.6  # whole parameters at a time


def test_nothing_is_left_of_a_run_that_hangs(tmp_path: Path) -> None:
    """As torchrun's, the inner process leads a session of its own."""
    note = tmp_path / "pid"
    inner = "import os, time; os.setsid(); time.sleep(300)"
    outer = (
        f"import pathlib, subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {inner!r}]); "
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid)); child.wait()"
    )
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run([sys.executable, "-c", outer], os.environ, timeout_s=2)
    assert time.monotonic() - started < 30
    assert not psutil.pid_exists(int(note.read_text()))
    with pytest.raises(subprocess.CalledProcessError):
        run([sys.executable, "-c", "raise SystemExit(3)"], os.environ, timeout_s=60)


def test_a_block_lasts_as_long_as_its_slowest_process() -> None:
    held = {"parameters": 60, "gradients": 60, "state": 80}
    one = {
        "times": {"ddp": {"trainer": [9.0, 2.0, 3.0], "torch": [9.0, 2.0, 2.0], "alone": [9.0, 1.0, 2.0]}},
        "bytes": {"one": held, "fsdp": {"parameters": 30, "gradients": 30, "state": 50}, "zero": {"state": 40}},
    }
    other = {
        "times": {"ddp": {"trainer": [9.0, 1.0, 4.0], "torch": [9.0, 1.0, 4.0], "alone": [9.0, 2.0, 2.0]}},
        "bytes": {"one": held, "fsdp": {"parameters": 30, "gradients": 30, "state": 20}, "zero": {"state": 48}},
    }
    ranks: list[dict[str, Any]] = [one, other]
    for rank in ranks:
        both = {name: [(wall, wall / 2) for wall in walls] for name, walls in rank["times"]["ddp"].items()}
        rank["times"] = {"ddp": both, "zero": both}
    found = summarise(ranks, steps=2)
    assert found["step_ms"] == {"trainer": 1500.0, "torch": 1500.0, "alone": 1000.0}  # medians of 2 and 4 s, 2 steps
    assert found["cpu_ms"] == {"trainer": 625.0, "torch": 562.5, "alone": 437.5}  # 1.5 and 3.5 s of CPU, two processes
    assert found["ddp/torch"] == 1.0
    assert found["ddp/torch cpu"] == pytest.approx((1 + 3.5 / 3) / 2)
    # Together two blocks in 2 s, then in 4 s; apart 1.5 blocks a second, then 1.
    assert found["efficiency"] == pytest.approx((1 / 1.5 + 0.5 / 1) / 2)
    assert found["fsdp share"] == pytest.approx(110 / 200)
    assert found["zero state share"] == pytest.approx(48 / 80)
    assert missed(found) == ["efficiency"]
    assert missed(found | {"efficiency": 0.85, "ddp/torch": 1.011, "fsdp share": 0.56}) == ["ddp/torch", "fsdp share"]
