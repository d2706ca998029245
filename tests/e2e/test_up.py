"""`homeroom up` for two districts: schedules, limits that exist, a service that answers; `down` leaves nothing."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort

from flows.installation import state
from flows.installation.places import TRAIN_LIMIT
from serving.guard import MARK
from tests.conftest import Released
from tests.e2e.installed import free_ports, homeroom, processes_of, within
from tests.forked import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.multiprocess,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
FILE = """
[installation]
state = "state"
prefect_port = {prefect}
trainings = 1
grace_s = 5.0

[districts.north]
store = "north/store"
keys = "north/keys"
runs = 2

[districts.north.applications.knowledge_tracing]
data = ["logs.csv"]
set = {set}
cron = "0 3 * * 1"
port = {service}
watch = true

[districts.south.applications.knowledge_tracing]
data = ["other.csv"]
cron = "30 4 * * 2"
timezone = "Europe/Berlin"
"""


def get(url: str) -> Any:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as answer:
            text = answer.read().decode()
            return json.loads(text) if text.startswith("{") else True
    except OSError:
        return None


def scheduled(client: SyncPrefectClient, deployment: UUID) -> list[Any]:
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=200,
    )
    return [run for run in runs if run.deployment_id == deployment]


def test_an_installation_of_two_districts(released: Released, tmp_path: Path) -> None:
    prefect, service = free_ports(2)
    shutil.copytree(released.untouched, tmp_path / "north" / "store")
    shutil.copytree(released.settings.keys, tmp_path / "north" / "keys")
    shutil.copy(released.logs, tmp_path / "logs.csv")
    shutil.copy(released.logs, tmp_path / "other.csv")
    chosen = json.dumps(list(released.summary.request.overrides))
    (tmp_path / "homeroom.toml").write_text(FILE.format(prefect=prefect, service=service, set=chosen))

    try:
        shown = homeroom(tmp_path, "up", "--detach")
        for name in (
            "prefect",
            "north-worker",
            "south-worker",
            "north-knowledge_tracing",
            "north-knowledge_tracing-watch",
        ):
            assert name in shown
        first = state.read_state(tmp_path / "state")
        assert first is not None
        assert "It runs already" in homeroom(tmp_path, "up")
        again = state.read_state(tmp_path / "state")
        assert again is not None
        assert again.pid == first.pid

        url = f"http://127.0.0.1:{prefect}/api"
        with SyncPrefectClient(url) as client:
            limit = client.read_global_concurrency_limit_by_name(TRAIN_LIMIT)
            assert (limit.limit, limit.active) == (1, True)
            pools = {one.name: one.concurrency_limit for one in client.read_work_pools(limit=50)}
            assert pools == {"homeroom-north": 2, "homeroom-south": 1}
            deployments = {one.name: one for one in client.read_deployments(sort=DeploymentSort.NAME_ASC, limit=50)}
            assert set(deployments) == {"north-knowledge_tracing", "south-knowledge_tracing"}
            north, south = deployments["north-knowledge_tracing"], deployments["south-knowledge_tracing"]
            for one in (north, south):
                assert one.global_concurrency_limit is not None
                assert one.global_concurrency_limit.limit == 1
                due = within(60, functools.partial(scheduled, client, one.id), "a scheduled run")
                assert all(run.work_pool_name == one.work_pool_name for run in due)

            version = within(120, lambda: get(f"http://127.0.0.1:{service}/v1/version"), "the service answers")
            served = released.summary.outcome.release.version
            assert served in json.dumps(version)
            watched = tmp_path / "state" / "logs" / "north-knowledge_tracing-watch.log"
            within(60, lambda: f"{served}: no window" in watched.read_text(), "the service is watched")

            # By its district's worker, with its store and keys: everything is found done.
            run = client.create_flow_run_from_deployment(north.id)
            ended = within(
                150,
                lambda: (found := client.read_flow_run(run.id)).state is not None and found.state.is_final() and found,
                "the run ends",
            )
            log = (tmp_path / "state" / "logs" / "north-worker.log").read_text()
            assert ended.state.type == StateType.COMPLETED, log[-6000:]
            assert not (tmp_path / "state" / "districts" / "south" / "keys").exists()
            assert "north" not in (tmp_path / "state" / "logs" / "south-worker.log").read_text()

        own = {one.name: psutil.Process(one.pid).environ() for one in first.children if one.pid is not None}
        assert own["north-worker"]["HOMEROOM_KEYS"] == str(tmp_path / "north" / "keys")
        for name, here, other in (("north-worker", "north", "south"), ("south-worker", "south", "north")):
            assert any(here in value for value in own[name].values())
            assert not any(f"/{other}/" in value for value in own[name].values()), "another district's place"
        assert not any(name.startswith("HOMEROOM_") and name != MARK for name in own["prefect"])

        died = next(one for one in first.children if one.kind == "worker")
        assert died.pid is not None
        psutil.Process(died.pid).kill()
        within(
            30,
            lambda: any(
                one.name == died.name and one.restarts == 1 and one.is_running
                for one in (state.read_state(tmp_path / "state") or first).children
            ),
            "the killed worker is started again",
        )
        homeroom(tmp_path, "down")
        assert processes_of(tmp_path) == []
        assert "Nothing runs" in homeroom(tmp_path, "status", code=1)
    finally:
        subprocess.run(
            [sys.executable, "-m", "flows", "down", "--file", str(tmp_path / "homeroom.toml")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
