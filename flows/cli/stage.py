"""`homeroom stage`: the chain up to one stage."""

import json
from typing import Any

import click

from flows.cli.options import request_from, run_options


@click.command()
@click.argument("name", metavar="STAGE")
@click.argument("application")
@run_options()
def stage(name: str, application: str, **options: Any) -> None:
    """Run the chain up to STAGE, skipping what is done, and print the stage's artifact as JSON.

    \b
    Example:
      homeroom stage ingest knowledge_tracing --data answers.csv
    """
    from components.app import load_application
    from flows.cli.progress import Progress
    from flows.operations import collect_of, make_runner
    from flows.pipeline import STAGES, run_until
    from flows.settings import Settings

    if name not in STAGES:
        raise click.BadParameter(f"no stage {name!r}; there are: {', '.join(STAGES)}.", param_hint="STAGE")
    request, settings = request_from(application, options), Settings()
    found = load_application(application)
    config = found.configuration(request.config, request.overrides)
    store = settings.open_store()
    with Progress(STAGES[: STAGES.index(name) + 1]) as progress:
        runner = make_runner(
            settings, found, store, refresh=request.refresh, observe=progress.observe, say=progress.say
        )
        raw = collect_of(store, request, found.kind)
        artifact = run_until(runner, found.kind, name, raw, config)
    click.echo(json.dumps(artifact.to_json(), indent=1))
