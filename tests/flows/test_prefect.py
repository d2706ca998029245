"""Prefect: schedules really create runs, and stages run as tasks. All under one test server."""

import asyncio
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
from prefect import flow, get_run_logger
from prefect.blocks.abstract import NotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Running
from prefect.testing.utilities import prefect_test_harness

from components._testing.kills import die_at_write
from components.artifacts import SimulatedLogs
from components.errors import SchemaError
from components.simulate.config import SimulateConfig
from components.simulate.stage import simulate
from components.stage import Runner, StageEvent
from components.store import Store
from components.upkeep import leases
from flows import crashes
from flows.__main__ import main
from flows.artifacts import publish_report
from flows.failures import UnforeseenError
from flows.notices import tell
from flows.pipeline import STAGES
from flows.request import RunRequest
from flows.schedules import (
    check_schedule,
    run_scheduler_once,
    schedule_name,
    scheduled_requests,
    scheduled_runs,
    scheduled_runs_appear,
)
from flows.settings import Settings
from flows.tasks import application_flow, as_tasks, run_as_flow
from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    # Leaving a synchronous flow waits up to a second for its heartbeat thread.
    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


def test_a_cron_creates_scheduled_runs_in_its_time_zone() -> None:
    async def made() -> list[tuple[int, int, int]]:
        deployment = await application_flow.to_deployment(  # type: ignore[misc]  # typed as sync or async
            name="weekly",
            schedule=check_schedule("0 3 * * 1", "Europe/Berlin"),
            parameters={"application": "knowledge_tracing", "data": ["s3://district/logs"]},
        )
        identity = await deployment.apply()
        try:
            await run_scheduler_once()
            runs = await scheduled_runs(identity)
        finally:
            async with get_client() as client:
                await client.delete_deployment(identity)
        times = [
            r.expected_start_time.astimezone(ZoneInfo("Europe/Berlin"))
            for r in runs
            if r.expected_start_time is not None
        ]
        return [(t.weekday(), t.hour, t.minute) for t in times]

    found = asyncio.run(made())
    assert found, "Prefect created no scheduled run (see `homeroom doctor`)"
    assert set(found) == {(0, 3, 0)}


def test_what_is_scheduled_is_known_to_garbage_collection() -> None:
    request = RunRequest(application="knowledge_tracing", data=("s3://district/logs",), overrides=("train.seed=1",))

    async def deploy() -> UUID:
        deployment = await application_flow.to_deployment(  # type: ignore[misc]  # typed as sync or async
            name="nightly", parameters=request.to_json()
        )
        identity: UUID = await deployment.apply()
        return identity

    async def forget(identity: UUID) -> None:
        async with get_client() as client:
            await client.delete_deployment(identity)

    identity = asyncio.run(deploy())
    try:
        assert scheduled_requests() == [request]
    finally:
        asyncio.run(forget(identity))
    assert scheduled_requests() == []


def test_doctor_sees_it() -> None:
    assert scheduled_runs_appear(temporary_server=True)


def test_the_automation_for_dead_runs_is_installed_once_and_mended() -> None:
    assert not crashes.is_installed()
    assert crashes.install()
    assert crashes.is_installed()
    assert not crashes.install(), "a second time changes nothing"
    with get_client(sync_client=True) as client:
        [one] = client.read_automations_by_name(crashes.AUTOMATION)
        client.pause_automation(one.id)
        assert not crashes.install(only_missing=True), "a run does not switch it on again"
        assert not crashes.is_installed()
        assert crashes.install()
        assert crashes.is_installed()
        assert len(client.read_automations_by_name(crashes.AUTOMATION)) == 1


@pytest.mark.multiprocess
def test_a_flow_run_whose_lease_died_is_marked_crashed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with get_client(sync_client=True) as client:
        died, another = (client.create_flow_run(application_flow, name="dies", state=Running()) for _ in range(2))

        def hold() -> None:
            with leases.held(store, run="r1", application="tracing", request={}, flow_run=str(died.id)):
                store.write_record("never", {})

        assert die_at_write(hold, 1)
        assert crashes.mark_dead_runs(store) == 1
        assert crashes.mark_dead_runs(store) == 0, "it is marked already"
        states = [client.read_flow_run(run.id).state for run in (died, another)]
    assert [state.type for state in states if state is not None] == [StateType.CRASHED, StateType.RUNNING]


def test_a_whole_run_as_a_flow_finds_what_is_done(released: Released) -> None:
    events: list[StageEvent] = []
    summary = run_as_flow(released.summary.request, released.settings, observe=events.append, say=lambda line: None)
    assert [e.stage for e in events] == list(STAGES)
    assert {e.status for e in events} == {"skipped"}
    assert summary.outcome.release == released.summary.outcome.release
    with get_client(sync_client=True) as client:
        # `read_artifacts` asks for artifacts of tasks only, or for nothing that the server understands.
        asked = {"artifacts": {"key": {"any_": ["homeroom-knowledge-tracing"]}}}
        [artifact] = client.request("POST", "/artifacts/filter", json=asked).json()
    assert artifact["flow_run_id"] is not None
    assert summary.outcome.release.version in artifact["data"]
    assert f"{summary.outcome.evaluation.metrics['auc']:.3f}" in artifact["data"]
    assert summary.run in artifact["description"]


def test_a_server_that_takes_no_artifact_stops_no_run(released: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise httpx.ConnectError("gone")

    monkeypatch.setattr("flows.artifacts.create_markdown_artifact", refuse)
    said: list[str] = []
    publish_report(released.summary, said.append)
    assert said == [f"Prefect's server did not take the report (ConnectError); it is in {released.summary.report}"]


class Told(NotificationBlock):
    """A notification block as Prefect's own are; its abstract method is a coroutine."""

    heard: ClassVar[list[tuple[str | None, str]]] = []

    async def notify(self, body: str, subject: str | None = None) -> None:
        self.heard.append((subject, body))


def test_a_block_of_prefect_is_told_in_and_outside_a_flow() -> None:
    Told().save("district", overwrite=True)
    settings, failed = Settings(notify="told/district"), list[str]()

    @flow
    def deciding() -> None:
        tell(settings, "tracing", "stopped", "tracing-1", "auc is 0.4", failed.append)

    deciding()
    tell(settings, "tracing", "promoted", "tracing-2", "not worse", failed.append)
    tell(Settings(notify="told/nobody"), "tracing", "promoted", "tracing-3", "not worse", failed.append)
    assert Told.heard == [
        ("homeroom tracing: stopped", "tracing-1: stopped. auc is 0.4"),
        ("homeroom tracing: promoted", "tracing-2: promoted. not worse"),
    ]
    assert failed == ["the notification to told/nobody could not be sent (ValueError)"]


def test_wrong_data_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("student,item,skills,correct\na,1,x,7\nb,2,x,8\n")
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=tmp_path / "keys")
    events: list[StageEvent] = []
    request = RunRequest(application="knowledge_tracing", data=(str(bad),))
    with pytest.raises(SchemaError):
        run_as_flow(request, settings, observe=events.append, say=lambda line: None)
    assert [e.status for e in events] == ["started"]


def test_stages_run_as_tasks_and_are_skipped_the_second_time(tmp_path: Path) -> None:
    events: list[StageEvent] = []
    runner = Runner(Store(tmp_path / "store"), observe=events.append)

    @flow
    def district() -> SimulatedLogs:
        return as_tasks(runner)(simulate, SimulateConfig(students=20))

    assert district() == district()
    assert [e.status for e in events] == ["started", "finished", "skipped"]


def test_no_text_of_an_unforeseen_error_reaches_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a text may quote a student; Prefect keeps what tasks and flows raise, and logs it with its traceback."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("could not parse 'Anna Schmidt 1999'")

    logs = tmp_path / "logs.csv"
    logs.write_text("student,item,skills,correct\na,1,x,1\nb,2,x,0\n")
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=tmp_path / "keys")
    monkeypatch.setattr("components.ingest.logs.read_logs", broken)
    since = datetime.now(UTC)
    with pytest.raises(UnforeseenError, match="A fault in homeroom: ValueError") as caught:
        run_as_flow(
            RunRequest(application="knowledge_tracing", data=(str(logs),)), settings,
            observe=lambda event: None, say=lambda line: None,
        )  # fmt: skip
    assert isinstance(caught.value.original, ValueError)  # for HOMEROOM_TRACEBACK
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=5)
        messages = [
            str(run.state.message) for run in runs if run.state is not None and run.created and run.created >= since
        ]
        tasks = client.read_task_runs(sort=TaskRunSort.END_TIME_DESC, limit=5)
        messages += [str(run.state.message) for run in tasks if run.state is not None]
    assert any("A fault in homeroom" in message for message in messages)
    assert "Anna" not in "".join(messages) + caplog.text


def test_each_store_and_request_has_a_deployment_of_its_own() -> None:
    one = RunRequest(application="knowledge_tracing", data=("a.csv",))
    other = replace(one, data=("b.csv",))
    names = [schedule_name(one, "/a"), schedule_name(one, "/b"), schedule_name(other, "/a")]
    assert len(set(names)) == 3
    assert schedule_name(one, "/a") == names[0]
    assert all(name.startswith("knowledge_tracing-") for name in names)


def test_a_forked_child_ends_well_after_a_flow_ran() -> None:
    @flow
    def nothing() -> None:
        get_run_logger().info("this starts the service that sends logs")

    nothing()
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join(30)
    assert child.exitcode == 0


@pytest.mark.parametrize("more", [[], ["--no-prefect"]])
def test_bad_data_end_a_command_alike_with_prefect_and_without(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("student,item,correct\nanna,i,1\nanna,j,maybe\n")
    with pytest.raises(SystemExit) as ended:
        main(["run", "knowledge_tracing", "--json", "--data", str(tmp_path / "a.csv"), *more])
    assert ended.value.code == 3
    out, err = capsys.readouterr()
    error = json.loads(out)["error"]
    assert (error["kind"], error["exit_code"]) == ("QuarantineLimitError", 3)
    assert error["message"].startswith("1 of 2 rows (50.0%) are unusable; ingest.quarantine_limit allows 5.0%:")
    assert f"error: {error['message']}\n" in err
