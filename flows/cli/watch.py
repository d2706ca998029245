"""`homeroom watch`: drift of a running service, and live quality."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.stopping import stoppable

if TYPE_CHECKING:
    from components.artifacts import JsonValue
    from flows.request import RunRequest
    from flows.summary import RunSummary
    from flows.watching.watch import Look

EVERY_S = 30.0


@click.command()
@click.argument("application")
@click.option(
    "--status",
    type=click.Path(path_type=Path),
    envvar="HOMEROOM_SERVE_STATUS",
    metavar="FOLDER",
    help="Status folder of the server; by default HOMEROOM_SERVE_STATUS, which the server must have been given too.",
)
@click.option("--once", is_flag=True, help="Look once and end; for a timer. The next look goes on from there.")
@click.option("--every", type=click.FloatRange(min=1.0), default=EVERY_S, show_default=True, help="Seconds.")
@click.option(
    "--action",
    type=click.Choice(["run", "event", "none"]),
    default="run",
    show_default=True,
    help="What a drift starts: a run here, only the Prefect event homeroom.drift, or nothing but its record.",
)
@click.option("--prefect/--no-prefect", default=True, help="Run as a Prefect flow (default), or in this process alone.")
@click.option("--cool-down", type=click.FloatRange(min=0.0), default=7.0, show_default=True, help="Days.")
@click.option("--quality", is_flag=True, help="Live quality by release instead: by overrides, or by --data.")
@click.option("--data", multiple=True, metavar="PATH_OR_URL", help="With --quality: logs with what came afterwards.")
@click.option("--json", "as_json", is_flag=True, help="Print one machine-readable object for each look.")
def watch(
    application: str,
    status: Path | None,
    once: bool,
    every: float,
    action: str,
    prefect: bool,
    cool_down: float,
    quality: bool,
    data: tuple[str, ...],
    as_json: bool,
) -> None:
    """Watch the service of APPLICATION for drift; when there is one, record it and run the training again.

    A drift is a signal of requests or answers whose last windows differ from the release's reference by effect size
    (docs/how-to/monitoring.md). The run's record and report say why it ran.

    \b
    Example:
      HOMEROOM_SERVE_STATUS=/run/homeroom homeroom serve knowledge_tracing &
      homeroom watch knowledge_tracing --status /run/homeroom
    """
    from components.app import load_application
    from flows.settings import Settings

    found = load_application(application)
    settings = Settings()
    if quality:
        from flows.watching.quality import live_quality

        told = live_quality(found, settings, data, status)
        click.echo(json.dumps(told.to_json(), indent=1) if as_json else "\n".join(told.lines()))
        return
    from components.errors import PipelineError
    from flows.watching.watch import Look, Watch

    if data:
        raise click.UsageError("--data is read with --quality only.")
    if status is None:
        raise click.UsageError("Name the server's status folder with --status, or set HOMEROOM_SERVE_STATUS.")

    def run(request: RunRequest) -> RunSummary:
        from flows.operations import run_request

        if not prefect:
            return run_request(request, settings)
        from flows.tasks import run_as_flow

        return run_as_flow(request, settings, observe=lambda event: None, say=lambda line: None)

    def emit(application: str, reason: str, payload: dict[str, JsonValue]) -> bool:
        from flows.watching.events import emit_drift  # late: Prefect is loaded when there is something to tell

        return emit_drift(application, reason, payload)

    watching = Watch(
        application=application,
        store=settings.open_store(),
        status=status,
        run=run,
        emit=emit,
        action=action,  # type: ignore[arg-type]  # one of the choices
        cool_down=timedelta(days=cool_down),
    )
    before = ""
    with stoppable():
        while True:
            try:
                look = watching.look()
            except PipelineError as error:
                if once:
                    raise
                look = Look(told=f"error: {error}")  # the store may come back, and the next run may do better
            if as_json:
                click.echo(json.dumps(_plain(look)))
            elif once or look.told != before:
                click.echo(look.told)
            before = look.told
            if once:
                return
            time.sleep(every)


def _plain(look: Look) -> dict[str, object]:
    return {
        "told": look.told,
        "release": look.release,
        "drifts": [one.sentence() for one in look.drifts],
        "windows": [one.to_json() for one in look.windows],
        "alarm": look.alarm,
        "action": look.action,
        "run": look.run,
    }
