"""`homeroom doctor`: checks of an installation."""

import sys
from itertools import chain
from pathlib import Path

import click


@click.command()
@click.option(
    "--schedules",
    is_flag=True,
    help="Also start a Prefect server and see that it creates scheduled runs (about a minute).",
)
@click.option("--fix", is_flag=True, help="Install at the Prefect server what marks dead runs Crashed.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="The installation's file, where there is one.  [default: where `homeroom up` looks]",
)
def doctor(schedules: bool, fix: bool, file: Path | None) -> None:
    """Check versions, import names, the store, the keys and Prefect, and say what to do about what is wrong.

    Ends with exit code 1 when a check fails.
    """
    from flows.checks import all_checks
    from flows.installation.checks import installation_checks
    from flows.settings import Settings

    failed = False
    for check in chain(all_checks(Settings(), schedules=schedules, fix=fix), installation_checks(file)):
        click.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.finding}")
        if check.remedy:
            click.echo(f"     {check.remedy}")
        failed = failed or not check.ok
    sys.exit(1 if failed else 0)
