"""`homeroom explain`: why a stage would run or be skipped."""

from typing import Any

import click
from click.core import ParameterSource

from flows.cli.options import request_from, run_options


@click.command()
@click.argument("name", metavar="STAGE")
@click.argument("application", default="knowledge_tracing")
@run_options(required=False)
@click.pass_context
def explain(context: click.Context, /, name: str, application: str, **options: Any) -> None:
    """Say which part of STAGE's key changed since it last finished. Runs nothing.

    Without --data, the request of the application's latest run is taken, with what is given here in place of its own;
    --set comes on top of its own.

    \b
    Examples:
      homeroom explain train knowledge_tracing --set train.max_epochs=3
      homeroom explain train knowledge_tracing --config full
    """
    import dataclasses

    from components.app import load_application
    from components.stage import StageEvent, WouldRun
    from flows.operations import collect_of, latest_request, make_runner
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
        given = {
            field: getattr(request, field)
            for field in options
            if context.get_parameter_source(field) is not ParameterSource.DEFAULT
        }
        given["overrides"] = (*latest.overrides, *request.overrides)
        given["refresh"] = request.refresh  # the latest run's own was for that run
        request = dataclasses.replace(latest, **given)
    found = load_application(application)
    config = found.configuration(request.config, request.overrides)
    events: list[StageEvent] = []
    runner = make_runner(settings, found, store, refresh=request.refresh, dry=True, observe=events.append)
    raw = collect_of(store, request, found.kind, record=False)
    try:
        run_until(runner, found.kind, name, raw, config)
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
