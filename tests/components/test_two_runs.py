"""Two runs of the same stage at once on one store: one works, the other waits and takes its result."""

import threading
import time
from pathlib import Path

from components.artifacts import FairnessReport
from components.config import config_class
from components.stage import PENDING, Runner, StageEvent, Work, stage
from components.store import Store

CALLS: list[str] = []
STARTED = threading.Event()
MAY_END = threading.Event()


@config_class
class SlowConfig:
    """Nothing to set but a number."""

    number: int = 1


@stage("slow")
def slow(work: Work, config: SlowConfig) -> FairnessReport:
    """Wait until the test says so."""
    CALLS.append("ran")
    STARTED.set()
    assert MAY_END.wait(20)
    out = work.output()
    (out / "groups.json").write_text("{}")
    return work.publish(FairnessReport(ref=PENDING, lineage=work.lineage, verdict="pass"), out)


def test_one_works_and_the_other_waits(tmp_path: Path) -> None:
    CALLS.clear()
    STARTED.clear()
    MAY_END.clear()
    events: list[StageEvent] = []
    said: list[str] = []
    results: list[FairnessReport] = []

    def run() -> None:
        runner = Runner(Store(tmp_path / "store"), observe=events.append, say=said.append)
        results.append(runner(slow, SlowConfig()))

    first, second = threading.Thread(target=run), threading.Thread(target=run)
    first.start()
    assert STARTED.wait(10)
    second.start()
    end = time.monotonic() + 10
    while not said and time.monotonic() < end:
        time.sleep(0.01)
    assert said == ["slow: another run is at it; waiting"]
    MAY_END.set()
    first.join(10)
    second.join(10)
    assert CALLS == ["ran"]
    assert results[0] == results[1]
    assert sorted(e.status for e in events) == ["finished", "skipped", "started"]


def test_another_configuration_waits_for_nobody(tmp_path: Path) -> None:
    MAY_END.set()
    store = Store(tmp_path / "store")
    said: list[str] = []
    runner = Runner(store, say=said.append)
    with store.locked("slow-of-somebody-else", lambda: said.append("waited")):
        runner(slow, SlowConfig(number=2))
    assert said == []


def test_a_lock_of_a_dead_holder_is_free(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    waited: list[str] = []
    with store.locked("x", lambda: waited.append("x")):
        pass
    assert (tmp_path / "store" / "locks" / "x.lock").exists()  # the file stays, the lock does not
    with store.locked("x", lambda: waited.append("x")):
        pass
    assert waited == []
