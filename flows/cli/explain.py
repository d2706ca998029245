"""`homeroom explain`: why a stage would run or be skipped."""

from typing import Any

import click

from flows.cli.options import request_from, run_options


@click.command()
@click.argument("name", metavar="STAGE")
@click.argument("application", default="knowledge_tracing")
@run_options(required=False)
def explain(name: str, application: str, **options: Any) -> None:
    """Say which part of STAGE's key changed since it last finished. Runs nothing.

    Without --data, the request of the application's latest run is taken.

    \b
    Example:
      homeroom explain train knowledge_tracing --set train.max_epochs=3
    """
    import dataclasses

    from components.app import load_application
    from components.ingest.collect import collect
    from components.stage import StageEvent, WouldRun
    from flows.operations import latest_request, make_runner
    from flows.pipeline import STAGES, run_until
    from flows.settings import Settings

    if name not in STAGES:
        raise click.BadParameter(f"no stage {name!r}; there are: {', '.join(STAGES)}.", param_hint="STAGE")
    settings = Settings()
    store = settings.open_store()
    request = request_from(application, options)
    if not request.data:
        latest = latest_request(store, application)
        if latest is None:
            raise click.UsageError(f"{application} has not run in this store yet; say what to run with --data.")
        request = dataclasses.replace(latest, overrides=(*latest.overrides, *request.overrides))
    found = load_application(application)
    config = found.configuration(request.config, request.overrides)
    events: list[StageEvent] = []
    runner = make_runner(settings, found, store, dry=True, observe=events.append)
    try:
        run_until(runner, name, collect(store, request.data, request.test_data, request.valid_data), config)
    except WouldRun as first:
        if first.stage != name:
            click.echo(f"{name}: would run, because {first.stage} before it would run:")
            for reason in first.changes:
                click.echo(f"  {reason}")
        else:
            click.echo(f"{name}: would run:")
            for reason in first.changes:
                click.echo(f"  {reason}")
        return
    click.echo(f"{name}: would be skipped: {events[-1].reason}")
