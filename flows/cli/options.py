"""Options that several commands share."""

import os
from collections.abc import Callable, Iterable
from glob import glob
from typing import Any, TypeVar

import click

from flows.request import RunRequest

F = TypeVar("F", bound=Callable[..., Any])


def run_options(required: bool = True) -> Callable[[F], F]:
    """Add the options that say what to run; `request_from` reads them."""
    options = (
        click.option(
            "--data",
            multiple=True,
            required=required,
            metavar="PATH_OR_URL",
            help="Raw logs: a file, folder, glob or URL (s3://...). May be given several times.",
        ),
        click.option(
            "--test-data",
            multiple=True,
            metavar="PATH_OR_URL",
            help="Logs of the students to test on, for published splits; by default students are split at random.",
        ),
        click.option(
            "--valid-data",
            multiple=True,
            metavar="PATH_OR_URL",
            help="Logs of the students that choose the best epoch, likewise.",
        ),
        click.option(
            "--overrides",
            "teacher_overrides",
            multiple=True,
            metavar="PATH_OR_URL",
            help="Teachers' overrides that `homeroom serve` stored: a folder, file or URL. May be given several times.",
        ),
        click.option(
            "--config",
            default="small",
            show_default=True,
            metavar="NAME_OR_TOML",
            help="A configuration of the application (`homeroom apps`), or the path of a TOML file.",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Change one value, e.g. --set train.max_epochs=3. May be given several times.",
        ),
        click.option("--refresh", multiple=True, metavar="STAGE", help="Run this stage even where a result is there."),
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def check_local_files(names: Iterable[str]) -> None:
    """Refuse names of local files that are not there, all at once; remote ones are seen when they are read.

    Raises:
        StoreError: lists them.
    """
    missing = [n for n in names if "://" not in n and not (os.path.exists(n) or glob(n, recursive=True))]
    if missing:
        from components.errors import StoreError

        lines = "\n".join(f"  - {name}: no such file or folder" for name in missing)
        raise StoreError(f"{len(missing)} of the named sources cannot be used:\n{lines}\nCheck the paths.")


def request_from(application: str, options: dict[str, Any]) -> RunRequest:
    """Return the request that the options of `run_options` describe, with absolute paths: it is recorded."""
    from flows.pipeline import STAGES

    for name in options["refresh"]:
        if name not in STAGES:
            raise click.BadParameter(f"no stage {name!r}; there are: {', '.join(STAGES)}.", param_hint="--refresh")
    return RunRequest(
        application=application,
        data=tuple(options["data"]),
        test_data=tuple(options["test_data"]),
        valid_data=tuple(options["valid_data"]),
        teacher_overrides=tuple(options["teacher_overrides"]),
        config=options["config"],
        overrides=tuple(options["overrides"]),
        refresh=tuple(options["refresh"]),
        reason=options.get("reason", ""),
    ).absolute()


def change_options() -> Callable[[F], F]:
    """Add the options of the commands that change what serves."""
    options = (
        click.option("--reason", default=None, help="For the record.  [default: by hand]"),
        click.option("--by", metavar="NAME", help="Who says so.  [default: the system's user]"),
        click.option("--override-by", metavar="NAME", help="Who answers for a release that the gate stops."),
        click.option("--until", metavar="DATE", help="With --override-by: the last day, in UTC, on which that counts."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add
