"""`homeroom schedule`: an application on a schedule, served by Prefect."""

from typing import Any

import click

from flows.cli.options import request_from, run_options


@click.command()
@click.argument("application")
@run_options()
@click.option("--cron", required=True, metavar="EXPRESSION", help="Five fields: minute hour day month weekday.")
@click.option(
    "--timezone", default="UTC", show_default=True, help="IANA name, e.g. Europe/Berlin; summer time is kept."
)
def schedule(application: str, cron: str, timezone: str, **options: Any) -> None:
    """Run APPLICATION on a schedule until you stop this command.

    Needs a Prefect server that outlives the runs: start one with `prefect server start` and set PREFECT_API_URL to it.
    Each store, data and configuration has a deployment of its own there; the same command replaces its own schedule.
    One run at a time; a run that is due while another goes on waits. A run whose process dies is marked Crashed
    within 70 s, by an automation that this command installs at the server.

    \b
    Example, every Monday at three in the morning:
      homeroom schedule knowledge_tracing --data s3://district/logs --cron "0 3 * * 1" --timezone Europe/Berlin
    """
    from components.app import load_application
    from flows.checks import require_server
    from flows.schedules import check_schedule, schedule_name, see_dead_runs, serve_on_schedule
    from flows.settings import Settings

    request = request_from(application, options)
    load_application(application).configuration(request.config, request.overrides)  # wrong ones fail now, not at night
    check_schedule(cron, timezone)
    require_server()
    url = Settings().open_store().url
    name = schedule_name(request, url)
    click.echo(
        f"{application}: serving the schedule {cron!r} ({timezone}) as homeroom/{name}. Stop with Ctrl-C.", err=True
    )
    see_dead_runs()
    serve_on_schedule(request, cron, timezone, url)
