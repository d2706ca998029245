"""A district whose runs are due on Mondays at three, by `homeroom up`; its Mondays come when a test says so.

The runs are those that Prefect's scheduler made of the cron expression, for weeks ahead. A test brings the next one
forward, as "run now" on Prefect's page does; the district's worker takes it.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.states import Scheduled

from flows.installation import state
from flows.installation.places import TRAIN_LIMIT
from flows.settings import Settings
from tests.e2e.installed import free_ports, homeroom, within

AHEAD = 13
"""Mondays for which the scheduler makes runs at once; Prefect makes three, and looks 100 days ahead."""
CRON = "0 3 * * 1"
FILE = """
[installation]
state = "state"
prefect_port = {port}
grace_s = 5.0

[districts.north]
store = {store}
keys = {keys}
cache = {cache}
environment = "north.env"
applications.{application} = {{ data = {data}, set = {set}, cron = "{cron}", timezone = "Europe/Berlin" }}
"""


class Mondays:
    """The installation; a context manager, which ends it and shows that nothing of it is left.

    Args:
        folder: for its file, state and logs.
        settings: the district's places.
        application: what is due.
        data: its raw logs.
        overrides: `section.key=value`.
    """

    def __init__(
        self, folder: Path, settings: Settings, application: str, data: Sequence[str], overrides: Sequence[str]
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}/api"
        self._client = SyncPrefectClient(self.url)
        self._name = f"north-{application}"
        (folder / "north.env").touch(mode=0o600)
        (folder / "north.env").write_text("PREFECT_WORKER_QUERY_SECONDS=2\n", encoding="utf-8")
        words = {
            "store": settings.store,
            "keys": str(settings.keys),
            "cache": str(settings.cache),
            "data": list(data),
            "set": list(overrides),
        }
        (folder / "homeroom.toml").write_text(
            FILE.format(port=port, application=application, cron=CRON, **{k: json.dumps(v) for k, v in words.items()}),
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        ahead = {"PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS": str(AHEAD)}
        homeroom(self.folder, "up", "--detach", environment=ahead)
        self._client.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.__exit__(kind, error, trace)
        homeroom(self.folder, "down")
        assert state.read_state(self.folder / "state") is None

    @property
    def environment(self) -> dict[str, str]:
        """What a run that is started beside the schedule needs to know of it."""
        return {"PREFECT_API_URL": self.url, "HOMEROOM_TRAIN_LIMIT": TRAIN_LIMIT}

    def due(self) -> list[FlowRun]:
        """Return the runs that the scheduler made and that have not begun, the next first."""
        runs = self._client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[self._name])),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=200,
        )
        waiting = [one for one in runs if one.state is not None and one.state.type == StateType.SCHEDULED]
        assert all(one.auto_scheduled for one in waiting), "somebody else started a run"
        return waiting

    def comes(self) -> UUID:
        """Bring the next Monday's run forward to now, and return it."""
        [deployment] = self._client.read_deployments(sort=DeploymentSort.NAME_ASC, limit=10)
        assert [one.schedule.cron for one in deployment.schedules] == [CRON]  # type: ignore[union-attr]  # a cron's
        due: list[FlowRun] = within(120, self.due, "the scheduler makes runs")
        self._client.set_flow_run_state(due[0].id, Scheduled(scheduled_time=datetime.now(UTC)))
        return due[0].id

    def ended(self, run: UUID, seconds: float = 600.0) -> FlowRun:
        """Wait until a run has ended, and return it."""

        def final() -> FlowRun | None:
            found = self._client.read_flow_run(run)
            return found if found.state is not None and found.state.is_final() else None

        found: FlowRun = within(seconds, final, f"the run ends; {self.log()[-3000:]}")
        return found

    def log(self) -> str:
        """Return the worker's log."""
        return (self.folder / "state" / "logs" / "north-worker.log").read_text(encoding="utf-8", errors="replace")
