"""`homeroom run`: student logs to a release."""

import json
import os
from typing import Any

import click

from flows.cli.options import check_local_files, request_from, run_options


@click.command()
@click.argument("application")
@run_options()
@click.option("--prefect/--no-prefect", default=True, help="Run as a Prefect flow (default), or in this process alone.")
@click.option("--reason", default="", metavar="TEXT", help="Why it runs: one line for its record and report.")
@click.option("--json", "as_json", is_flag=True, help="Print one machine-readable summary on standard output.")
def run(application: str, prefect: bool, as_json: bool, **options: Any) -> None:
    """Take raw files to a release: ingest, preprocess, leakage, train, evaluate, fairness, export, deploy.

    A stage whose inputs, configuration, code and libraries did not change is skipped, also after a crash: run the same
    command again.

    \b
    Examples:
      homeroom run knowledge_tracing --data answers.csv
      homeroom run knowledge_tracing --data 's3://district/logs/*.parquet' --config full --json
      homeroom run knowledge_tracing --data train.csv.gz --test-data test.csv.gz --set train.max_epochs=3
    """
    from components.app import load_application
    from flows.cli.progress import Progress
    from flows.operations import run_request
    from flows.pipeline import STAGES
    from flows.settings import Settings

    request, settings = request_from(application, options), Settings()
    # Wrong requests are told at once, before Prefect starts.
    load_application(application).configuration(request.config, request.overrides)
    check_local_files(request.files())
    if prefect and os.environ.get("PREFECT_API_URL"):
        from flows.checks import require_server

        require_server()  # Prefect itself would try for a minute
    with Progress(STAGES) as progress:
        if prefect:
            from flows.tasks import run_as_flow

            summary = run_as_flow(request, settings, observe=progress.observe, say=progress.say)
        else:
            summary = run_request(request, settings, observe=progress.observe, say=progress.say)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=1))
    else:
        print_summary(summary.to_json())


def print_summary(summary: dict[str, Any]) -> None:
    """Print a run's summary for people."""
    from components.app import load_application
    from flows.summary import view_of

    release = summary["release"]
    click.echo()
    for line in view_of(load_application(summary["request"]["application"]).kind).lines(summary):
        click.echo(line)
    for name in ("leakage", "fairness"):
        verdict = summary[name]
        click.echo(f"{name} verdict: {verdict['verdict']}" + "".join(f"\n  {line}" for line in verdict["reasons"]))
    click.echo(f"ONNX against torch: at most {summary['parity']['max_abs_error']:.1e} apart")
    gate = summary["gate"]
    click.echo(f"gate: {gate['outcome']}")
    for finding in gate["findings"]:
        if finding["outcome"] != "pass":
            click.echo(f"  {finding['outcome']}: {finding['reason']}")
    if (override := gate["override"]) is not None:
        click.echo(f"  override by {override['by']} until {override['until']}: {override['reason']}")
    click.echo(
        f"release {release['version']}: {'current' if release['promoted'] else release['status']} ({release['reason']})"
    )
    click.echo(f"report: {summary['report']}")
