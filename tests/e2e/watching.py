"""`homeroom watch` beside a running service, as a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.store import Store
from flows.settings import Settings
from flows.watching.records import WatchRecords
from tests.e2e.installed import within
from tests.e2e.mondays import Mondays
from tests.forked import ROOT

APPLICATION = "knowledge_tracing"
EVERY_S = 2.0
ALARM_S = 300.0
"""How long it may take until a drift is seen and its run has ended, on a busy machine."""


class Watching:
    """The watch; a context manager, which ends it.

    Args:
        store: the district's.
        status: status folder of the service.
        settings: the district's places.
        mondays: whose Prefect server hears of its runs.
    """

    def __init__(self, store: Store, status: Path, settings: Settings, mondays: Mondays | None) -> None:
        self.status = status
        self.records = WatchRecords(store, APPLICATION)
        self._settings = settings
        self._mondays = mondays
        self._log = status.with_suffix(".log")

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            "HOMEROOM_STORE": self._settings.store,
            "HOMEROOM_KEYS": str(self._settings.keys),
            "HOMEROOM_CACHE": str(self._settings.cache),
            "PYTHONPATH": str(ROOT),
            **({} if self._mondays is None else self._mondays.environment),
        }
        command = [sys.executable, "-m", "flows", "watch", APPLICATION, "--every", str(EVERY_S), "--json"]
        with self._log.open("wb") as stream:
            self._process = subprocess.Popen(
                [*command, "--status", str(self.status)], env=environment, cwd=ROOT, stdout=stream, stderr=stream
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")[-3000:]
        self._process.terminate()
        self._process.wait(30)

    def alarm(self) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: JSON
        """Wait for a drift whose run has ended; return its record and that of what came of it."""
        before = len(self.records.all())

        def ended() -> list[dict[str, Any]] | None:  # Any: JSON
            found = self.records.all()[before:]
            return found if [one["kind"] for one in found[:2]] == ["drift", "outcome"] else None

        drift, outcome = within(ALARM_S, ended, f"an alarm; {self._log.read_text(encoding='utf-8')[-3000:]}")[:2]
        assert "error" not in outcome, outcome
        return drift, outcome

    def looks(self) -> list[dict[str, Any]]:  # Any: JSON
        """Return all that it found, look by look."""
        if not self._log.exists():
            return []
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]
