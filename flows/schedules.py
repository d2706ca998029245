"""Schedules: serving the application flow with a cron expression and a time zone."""

import asyncio
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError
from prefect.schedules import Cron, Schedule

from components.artifacts import digest_of
from components.errors import ConfigError
from flows import crashes
from flows.request import RunRequest
from flows.tasks import application_flow

APPEAR_S = 60.0
"""How long a server may take to create the runs of a new schedule: its scheduler comes round every few seconds."""

PAGE = 100
"""Deployments that are asked for at a time."""


def check_schedule(cron: str, timezone: str) -> Schedule:
    """Return the schedule, or refuse a cron expression or time zone that Prefect would not run.

    Raises:
        ConfigError: says which of the two is wrong.
    """
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(
            f"--timezone {timezone!r} is not known here; expected an IANA name such as Europe/Berlin or UTC."
        ) from None
    try:
        CronSchedule(cron=cron, timezone=timezone)  # checks what Cron takes as it is
    except ValueError:
        raise ConfigError(
            f"--cron {cron!r} is no cron expression; expected five fields: minute hour day month weekday, e.g. "
            '"0 3 * * 1" for Mondays at three.'
        ) from None
    return Cron(cron, timezone=timezone)


def see_dead_runs() -> None:
    """Install the automation that marks runs Crashed when their process is gone; a second time changes nothing.

    Raises:
        ConfigError: the server does not let automations be made.
    """
    try:
        crashes.install()
    except PrefectHTTPStatusError as error:
        raise ConfigError(
            f"The Prefect server refused the automation that marks dead runs (status {error.response.status_code}). "
            "Use an account that may make automations, or install it with one: homeroom doctor --fix."
        ) from error


def schedule_name(request: RunRequest, store_url: str) -> str:
    """Return the name of the deployment: the same for the same work on the same store, and for nothing else.

    A server may hold the schedules of several stores. Two of one name would replace each other, and a run of the one
    would be taken by the process of the other.
    """
    return f"{request.application}-{digest_of({'request': request.to_json(), 'store': store_url})[:8]}"


def serve_on_schedule(request: RunRequest, cron: str, timezone: str, store_url: str) -> None:
    """Serve the schedule until the process is stopped; one run at a time."""
    application_flow.serve(
        name=schedule_name(request, store_url),
        schedule=check_schedule(cron, timezone),
        parameters=request.to_json(),
        limit=1,
        print_starting_message=False,
    )


async def scheduled_runs(deployment: UUID, wait_s: float = APPEAR_S) -> list[FlowRun]:
    """Return the SCHEDULED runs of a deployment, waiting until there are some or the time is up."""
    async with get_client() as client:
        for _ in range(max(1, int(wait_s))):
            runs = await client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
                # Both said: the server of prefect 3.8.8 refuses the nulls that its client sends for them.
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=200,
            )
            found = [r for r in runs if r.state is not None and r.state.type == StateType.SCHEDULED]
            if found:
                return found
            await asyncio.sleep(1)
    return []


def scheduled_requests() -> list[RunRequest]:
    """Return what the deployments of the application flow at the Prefect server in use are to run."""

    async def read() -> list[RunRequest]:
        found: list[RunRequest] = []
        async with get_client() as client:
            while page := await client.read_deployments(
                flow_filter=FlowFilter(name=FlowFilterName(any_=[application_flow.name])),
                sort=DeploymentSort.NAME_ASC,  # said, as the server of prefect 3.8.8 refuses its client's null
                limit=PAGE,
                offset=len(found),
            ):
                for one in page:
                    given = {name: value for name, value in one.parameters.items() if value is not None}
                    found.append(RunRequest.from_json(given))
        return found

    return asyncio.run(read())


async def run_scheduler_once() -> None:
    """Run Prefect's scheduler service on the database in use: a temporary server runs no services."""
    from prefect.server.services.scheduler import schedule_deployments  # late: the whole server comes with it

    await schedule_deployments()


def scheduled_runs_appear(*, temporary_server: bool) -> bool:
    """Set a schedule at the Prefect server in use, see whether runs appear, and take the schedule away again.

    Args:
        temporary_server: the server runs no services, so its scheduler is called here once.
    """

    async def probe() -> bool:
        deployment = await application_flow.to_deployment(  # type: ignore[misc]  # typed as sync or async
            name="homeroom-doctor",
            schedule=Cron("* * * * *", timezone="UTC"),
            parameters=RunRequest(application="knowledge_tracing", data=("none",)).to_json(),
        )
        identity = await deployment.apply()
        try:
            if temporary_server:
                await run_scheduler_once()
            return bool(await scheduled_runs(identity, wait_s=1.0 if temporary_server else APPEAR_S))
        finally:
            async with get_client() as client:
                await client.delete_deployment(identity)

    return asyncio.run(probe())
