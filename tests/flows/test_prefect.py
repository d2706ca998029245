"""Prefect: schedules really create runs, and stages run as tasks. All under one test server."""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterator
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
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort, TaskRunSort
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Running
from prefect.testing.utilities import prefect_test_harness

from components._testing.kills import die_at_write
from components.app import load_application
from components.artifacts import SimulatedLogs
from components.errors import ConfigError, SchemaError
from components.simulate.config import SimulateConfig
from components.simulate.stage import simulate
from components.stage import Runner, StageEvent
from components.store import Store
from components.upkeep import leases
from flows import crashes
from flows.__main__ import main
from flows.artifacts import publish_report
from flows.failures import RunTimeoutError, UnforeseenError
from flows.installation.file import read_plan
from flows.installation.places import TRAIN_LIMIT, resolve
from flows.installation.prepare import prepare
from flows.notices import tell
from flows.pipeline import STAGES
from flows.request import RunRequest
from flows.schedules import (
    check_schedule,
    run_scheduler_once,
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


TWO_DISTRICTS = """
[installation]
trainings = 2
[districts.north]
runs = 3
[districts.north.applications.knowledge_tracing]
data = ["s3://north/logs"]
cron = "0 3 * * 1"
timezone = "Europe/Berlin"
[districts.south.applications.short_answer]
data = ["answers.csv"]
"""


def test_an_installation_has_its_limits_schedules_and_nothing_else_at_the_server(tmp_path: Path) -> None:
    def prepared(text: str) -> list[str]:
        file = tmp_path / "homeroom.toml"
        file.write_text(text)
        said: list[str] = []
        prepare(resolve(read_plan(file), file), said.append)
        return said

    def at_server() -> tuple[dict[str, int | None], dict[str, list[tuple[str, str | None]]], int]:
        with get_client(sync_client=True) as client:
            pools = {one.name: one.concurrency_limit for one in client.read_work_pools(limit=50)}
            found = client.read_deployments(sort=DeploymentSort.NAME_ASC, limit=50)
            crons = {one.name: [(s.schedule.cron, s.schedule.timezone) for s in one.schedules] for one in found}  # type: ignore[union-attr]  # cron schedules
            for one in found:
                assert one.global_concurrency_limit is not None
                assert one.global_concurrency_limit.limit == 1
            return pools, crons, client.read_global_concurrency_limit_by_name(TRAIN_LIMIT).limit

    assert any("homeroom-north: 3 run(s) at once" in line for line in prepared(TWO_DISTRICTS))
    pools, crons, trainings = at_server()
    assert (pools, trainings) == ({"homeroom-north": 3, "homeroom-south": 1}, 2)
    assert crons == {
        "north-knowledge_tracing": [("0 3 * * 1", "Europe/Berlin")],
        "south-short_answer": [],
    }
    assert not any("taken away" in line or "taken" in line for line in prepared(TWO_DISTRICTS)), "a second time"
    assert at_server() == (pools, crons, trainings)

    changed = TWO_DISTRICTS.partition("[districts.south")[0].replace("0 3", "30 4").replace("runs = 3", "runs = 1")
    assert any("south-short_answer is no longer asked for" in line for line in prepared(changed))
    pools, crons, _ = at_server()
    assert (pools, crons) == ({"homeroom-north": 1}, {"north-knowledge_tracing": [("30 4 * * 1", "Europe/Berlin")]})
    assert [one.application for one in scheduled_requests()] == ["knowledge_tracing"]

    prepared("[districts.none]\n")
    assert at_server()[1] == {}


@pytest.mark.timeout(120, method="thread")  # the other method takes the alarm by which Prefect ends a task
def test_the_stages_of_a_run_share_its_time_and_what_ran_out_of_it_is_not_tried_again() -> None:
    kind = load_application("knowledge_tracing").kind
    ingest, deploy = kind.stage("ingest"), kind.stage("deploy")
    called: list[object] = []

    def take(function: object, *_: object) -> None:
        called.append(function)
        time.sleep(0.3 if function is ingest else 60.0)

    @flow
    def runs() -> None:
        call = as_tasks(take, timeout_s=1.0)  # type: ignore[arg-type]  # in the place of a runner
        call(ingest)
        began = time.monotonic()
        with pytest.raises(
            RunTimeoutError, match="Stage deploy took longer than what was left of the run's limit, 1 s"
        ):
            call(deploy)
        assert 0.3 < time.monotonic() - began < 5.0, "a third of its second was gone, and deploy may be tried thrice"
        with pytest.raises(RunTimeoutError, match="run took longer than its limit of 1 s"):
            call(ingest)

    runs()
    assert called == [ingest, deploy]


def test_the_limit_of_the_installation_is_a_run_s(released: Released) -> None:
    settings = released.settings.model_copy(update={"run_timeout_s": 1e-6})
    with pytest.raises(RunTimeoutError, match="HOMEROOM_RUN_TIMEOUT_S"):
        run_as_flow(released.summary.request, settings, observe=lambda event: None, say=lambda line: None)


def test_a_training_takes_a_slot_of_a_limit_that_exists() -> None:
    seen: list[int] = []

    def slots() -> int:
        with get_client(sync_client=True) as client:
            return client.read_global_concurrency_limit_by_name("t-limit").active_slots

    train = load_application("knowledge_tracing").kind.stage("train")
    ingest = load_application("knowledge_tracing").kind.stage("ingest")

    def count(function: object, *_: object) -> None:
        seen.append(slots() if function is train else -1)

    @flow
    def trains() -> None:
        call = as_tasks(count, train_limit="t-limit")  # type: ignore[arg-type]  # in the place of a runner
        call(ingest)
        call(train)

    with pytest.raises(ConfigError, match="no slot of 't-limit'"):
        trains()
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name("t-limit", 1)
    trains()
    assert seen == [-1, -1, 1], "other stages wait for nobody"
    assert slots() == 0
