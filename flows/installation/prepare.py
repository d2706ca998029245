"""What an installation needs at its Prefect server: automation, limits, work pools, deployments with their schedules.

    python -m flows.installation.prepare homeroom.toml     # at the server that PREFECT_API_URL names

Everything is read back from the server, since Prefect lets runs pass in silence where a limit does not exist. What an
earlier version of the file asked for and this one does not is taken away.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import DeploymentSort
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from components.app import load_application
from components.errors import ConfigError, PipelineError
from flows.installation.children import ROOT, engine_command
from flows.installation.file import read_plan
from flows.installation.places import TRAIN_LIMIT, District, Installation, resolve
from flows.schedules import PAGE, check_schedule, see_dead_runs
from flows.tasks import application_flow

TAG = "homeroom-up"
"""Tag of the deployments that `homeroom up` made, and so may take away."""
DESCRIPTION = "Made by homeroom up."


def check_plans(installation: Installation) -> None:
    """Refuse applications, configurations and schedules that would fail at night.

    Raises:
        ConfigError: lists them.
    """
    wrong: list[str] = []
    for district in installation.districts:
        for name, plan in district.applications.items():
            at = f"districts.{district.name}.applications.{name}"
            try:
                application = load_application(name)
                if plan.data:
                    request = district.request(name)
                    application.configuration(request.config, request.overrides)
                if plan.cron is not None:
                    check_schedule(plan.cron, plan.timezone)
            except ConfigError as error:
                wrong.append(f"{at}: {error}")
    if wrong:
        lines = "\n".join(f"  - {one}" for one in wrong)
        raise ConfigError(f"The installation has {len(wrong)} problem(s):\n{lines}")


def prepare(installation: Installation, say: Callable[[str], None]) -> None:
    """Bring the Prefect server in use to what the installation asks for.

    Raises:
        ConfigError: the installation asks for something wrong, or the server does not say of a limit or schedule what
            was asked of it.
    """
    check_plans(installation)
    see_dead_runs()
    say("installed: the automation that marks dead runs Crashed")
    asyncio.run(_prepare(installation, say))


async def _prepare(installation: Installation, say: Callable[[str], None]) -> None:
    async with get_client() as client:
        await client.upsert_global_concurrency_limit_by_name(TRAIN_LIMIT, installation.machine.trainings)
        found = await client.read_global_concurrency_limit_by_name(TRAIN_LIMIT)
        _same(TRAIN_LIMIT, (found.limit, found.active), (installation.machine.trainings, True))
        say(f"limit {TRAIN_LIMIT}: {found.limit} training(s) at once on this machine")
        for district in installation.districts:
            await _pool(client, district, say)
            for name, plan in district.applications.items():
                if plan.data:
                    await _deployment(client, district, name, say)
        await _forget(client, installation, say)


async def _pool(client: PrefectClient, district: District, say: Callable[[str], None]) -> None:
    try:
        await client.read_work_pool(district.pool)
    except ObjectNotFound:
        await client.create_work_pool(
            WorkPoolCreate(
                name=district.pool,
                type="process",
                description=DESCRIPTION,
                base_job_template=ProcessWorker.get_default_base_job_template(),
                concurrency_limit=district.runs,
            )
        )
    else:
        await client.update_work_pool(district.pool, WorkPoolUpdate(concurrency_limit=district.runs))
    found = await client.read_work_pool(district.pool)
    _same(f"work pool {district.pool}", (found.concurrency_limit, found.type), (district.runs, "process"))
    say(f"work pool {district.pool}: {found.concurrency_limit} run(s) at once")


async def _deployment(client: PrefectClient, district: District, name: str, say: Callable[[str], None]) -> None:
    plan = district.applications[name]
    made = await application_flow.to_deployment(  # type: ignore[misc]  # typed as sync or async
        name=district.deployment(name),
        schedule=None if plan.cron is None else check_schedule(plan.cron, plan.timezone),
        parameters=district.request(name).to_json(),
        # A run that is due while another of it goes on waits.
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        work_pool_name=district.pool,
        job_variables={"command": engine_command(), "working_dir": str(ROOT)},
        entrypoint_type=EntrypointType.MODULE_PATH,
        tags=[TAG, f"district:{district.name}"],
        description=DESCRIPTION,
    )
    found = await client.read_deployment(await made.apply())
    limit = None if found.global_concurrency_limit is None else found.global_concurrency_limit.limit
    crons = [one.schedule.cron for one in found.schedules if one.active and hasattr(one.schedule, "cron")]
    wanted = [] if plan.cron is None else [plan.cron]
    _same(f"deployment {found.name}", (limit, found.work_pool_name, crons), (1, district.pool, wanted))
    when = "by hand alone" if plan.cron is None else f"{plan.cron!r} ({plan.timezone})"
    say(f"deployment homeroom/{found.name}: {when}, one run at once")


async def _forget(client: PrefectClient, installation: Installation, say: Callable[[str], None]) -> None:
    """Take away the deployments and work pools that this installation made and no longer names."""
    names = {one.deployment(name) for one in installation.districts for name, p in one.applications.items() if p.data}
    made: list[DeploymentResponse] = []
    while page := await client.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])),
        sort=DeploymentSort.NAME_ASC,  # said, as the server of prefect 3.8.8 refuses its client's null
        limit=PAGE,
        offset=len(made),
    ):
        made += page
    for one in made:
        if one.name not in names:
            await client.delete_deployment(one.id)
            say(f"deployment homeroom/{one.name} is no longer asked for and was taken away")
    pools = {one.pool for one in installation.districts}
    for pool in await client.read_work_pools(limit=PAGE):
        if pool.description == DESCRIPTION and pool.name not in pools:
            await client.delete_work_pool(pool.name)
            say(f"work pool {pool.name} is no longer asked for and was taken away")


def _same(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ConfigError(
            f"Prefect's server says of {what}: {found}; expected {wanted}. See whether somebody else changes it, and "
            "whether prefect is the version that `homeroom doctor` knows to work."
        )


def main(file: str) -> int:
    """Prepare the server in use for an installation's file; return the exit code."""
    path = Path(file)
    try:
        prepare(resolve(read_plan(path), path), print)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
