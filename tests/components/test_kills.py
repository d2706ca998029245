"""The kill injector: it kills when it says, at a write, at a time or at a line, and finds what was left behind."""

import os
import sys
from pathlib import Path

import pytest

from components._testing.kills import die_at_write, kill_after, kill_at
from components.artifacts import FairnessReport
from components.config import config_class
from components.stage import PENDING, Runner, Work, stage
from components.store import Store

pytestmark = pytest.mark.multiprocess

SLEEP = "import time; time.sleep(600)"
ORPHAN = (
    "import subprocess, sys, time\n"
    f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
    "print('started', flush=True)\n"
    "time.sleep(600)\n"
)


@config_class
class NoConfig:
    """Nothing to set."""

    number: int = 1


@stage("small")
def small(work: Work, config: NoConfig) -> FairnessReport:
    """Write two files."""
    out = work.output()
    for name in ("groups.json", "more.json"):
        (out / name).write_text(f'"{name}"')
    return work.publish(FairnessReport(ref=PENDING, lineage=work.lineage, verdict="pass"), out)


def test_after_a_time() -> None:
    killed = kill_after([sys.executable, "-c", SLEEP], 0.1)
    assert (killed.was_killed, killed.returncode, killed.left_behind) == (True, -9, ())


def test_a_command_that_ended_before_was_not_killed() -> None:
    killed = kill_after([sys.executable, "-c", "print('done'); raise SystemExit(3)"], 30)
    assert (killed.was_killed, killed.returncode, killed.output) == (False, 3, "done\n")


def test_at_a_line_and_what_was_left_behind_is_named_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components._testing.kills.CHILDREN_END_S", 0.5)
    killed = kill_at([sys.executable, "-c", ORPHAN], "started")
    assert killed.was_killed
    assert killed.output == "started\n"
    assert killed.left_behind == killed.children
    [left] = killed.left_behind
    assert "time.sleep(600)" in left
    stat = Path("/proc") / left.partition(":")[0] / "stat"
    assert not stat.exists() or " Z " in stat.read_text()


def test_a_stage_killed_at_any_write_is_run_again_to_the_same_result(tmp_path: Path) -> None:
    whole = Runner(Store(tmp_path / "whole"))(small, NoConfig())
    number, kills = 0, {"before": 0, "after": 0}
    while True:
        killed = False
        for when in ("before", "after"):
            root = tmp_path / f"{number}{when}"
            if die_at_write(lambda root=root: Runner(Store(root))(small, NoConfig()), number, when):  # type: ignore[misc]
                killed = True
                kills[when] += 1
                assert Runner(Store(root))(small, NoConfig()).sha256 == whole.sha256
                Store(root).verify(whole)
        if not killed:
            break
        number += 1
    # two files, the manifest, the stage's record
    assert kills == {"before": 4, "after": 4}


def test_an_action_that_fails_is_told() -> None:
    def fail() -> None:
        os._exit(7)

    with pytest.raises(RuntimeError, match="exit code 7"):
        die_at_write(fail, 0)
