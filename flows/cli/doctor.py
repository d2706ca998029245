"""`homeroom doctor`: checks of an installation."""

import sys

import click


@click.command()
@click.option(
    "--schedules",
    is_flag=True,
    help="Also start a Prefect server and see that it creates scheduled runs (about a minute).",
)
@click.option("--fix", is_flag=True, help="Install at the Prefect server what marks dead runs Crashed.")
def doctor(schedules: bool, fix: bool) -> None:
    """Check versions, import names, the store, the keys and Prefect, and say what to do about what is wrong.

    Ends with exit code 1 when a check fails.
    """
    from flows.checks import all_checks
    from flows.settings import Settings

    failed = False
    for check in all_checks(Settings(), schedules=schedules, fix=fix):
        click.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.finding}")
        if check.remedy:
            click.echo(f"     {check.remedy}")
        failed = failed or not check.ok
    sys.exit(1 if failed else 0)
