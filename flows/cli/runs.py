"""`homeroom runs`: what runs, what ran, and what died on the way."""

import json
from datetime import UTC, datetime

import click


@click.command()
@click.argument("application", required=False)
@click.option("--all", "everything", is_flag=True, help="List all finished runs, not only the latest twenty.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable list on standard output.")
@click.option("--forget", metavar="RUN", help="Take a run that died, failed or was stopped off the list.")
def runs(application: str | None, everything: bool, as_json: bool, forget: str | None) -> None:
    """List the runs in the store, latest last: running, finished, dead, failed, stopped.

    A dead run is one whose process was killed. Nothing that it finished is lost: the same command goes on from there.
    On the machine that ran it a dead run shows at once; seen from another one, a minute after its last heartbeat.

    \b
    Examples:
      homeroom runs
      homeroom runs knowledge_tracing --json
    """
    from components.app import load_application
    from flows.runs import forget_run, list_runs
    from flows.settings import Settings

    if application is not None and not application.isidentifier():
        load_application(application)  # refuses it
    store = Settings().open_store()
    if forget is not None:
        forget_run(store, forget)
    found = list_runs(store, application, latest=None if everything else 20)
    if application is not None and not found:
        load_application(application)  # a misspelt one has no runs, and that would be believed
    if as_json:
        click.echo(json.dumps([run.to_json() for run in found], indent=1))
        return
    if not found:
        click.echo(f"no runs in {store.url}")
    for run in found:
        place = f"in {run.stage}" if run.stage else "between stages"
        if run.status == "finished":
            detail = f"{run.release}  {run.seconds:.0f} s"
        elif run.status == "running":
            age = (datetime.now(UTC) - datetime.fromisoformat(run.heartbeat_utc)).total_seconds()
            detail = f"{place}, process {run.pid} on {run.host}, heard of {max(0.0, age):.0f} s ago"
        else:
            detail = f"{place}, last heard of {run.heartbeat_utc[:19]}" + (f" ({run.error})" if run.error else "")
        click.echo(f"{run.run}  {run.status:<8}  {run.application}  {detail}")
        if run.command:
            click.echo(f"  go on with: {run.command}")
