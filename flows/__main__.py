"""The command `homeroom`: a group whose commands are loaded when called, so that help is instant."""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from flows.privacy import refuse_tracking

COMMANDS = {
    "demo": ("flows.cli.demo:demo", "Simulate a district, run everything, serve an answer."),
    "apps": ("flows.cli.apps:apps", "List the applications and their configurations."),
    "new": ("flows.cli.new:new", "Write the project of an application of your own."),
    "run": ("flows.cli.run:run", "Take student logs to a release."),
    "stage": ("flows.cli.stage:stage", "Run the chain up to one stage."),
    "serve": ("flows.cli.serve:serve", "Serve a release over HTTP."),
    "build": ("flows.cli.build:build", "Write a release with its Dockerfile, or make a Bento of it."),
    "keys": ("flows.cli.keys:keys", "Say who may ask a served release, and what."),
    "watch": ("flows.cli.watch:watch", "Watch a service for drift, and retrain when there is one."),
    "score": ("flows.cli.score:score", "Answer whole logs with a release, into a file."),
    "releases": ("flows.cli.releases:releases", "List what serves, what did and when."),
    "promote": ("flows.cli.promote:promote", "Make a release serve."),
    "approve": ("flows.cli.approve:approve", "Approve a release that waits for it."),
    "reject": ("flows.cli.approve:reject", "Reject a release that waits for approval."),
    "approvers": ("flows.cli.approve:approvers", "Say who may approve releases."),
    "rollback": ("flows.cli.promote:rollback", "Make the release before the current one serve again."),
    "diff": ("flows.cli.diff:diff", "Say how two releases differ."),
    "runs": ("flows.cli.runs:runs", "List what runs, ran, or died on the way."),
    "schedule": ("flows.cli.schedule:schedule", "Run an application on a schedule."),
    "up": ("flows.cli.up:up", "Start all that this machine runs: Prefect, workers, services."),
    "status": ("flows.cli.up:status", "Show what `up` runs."),
    "down": ("flows.cli.up:down", "Stop what `up` started."),
    "simulate": ("flows.cli.simulate:simulate", "Write logs or texts of simulated students."),
    "explain": ("flows.cli.explain:explain", "Say why a stage would run or be skipped."),
    "lineage": ("flows.cli.lineage:lineage", "Walk from a release back to the raw files."),
    "gc": ("flows.cli.gc:gc", "Show what the store no longer needs, or delete it."),
    "erase": ("flows.cli.erase:erase", "Show what is stored of a student, or delete it for good."),
    "doctor": ("flows.cli.doctor:doctor", "Check this installation."),
}
STOPPED = "Stopped. The same command goes on where this one ended."


class LazyGroup(click.Group):
    """A group that knows its commands by name and one line each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="homeroom")
def cli() -> None:
    """From student data to graded, fair, served models.

    \b
    A first look, with simulated students:
      homeroom demo
    Your own logs (CSV, Parquet or JSON lines; files, folders or s3:// URLs):
      homeroom run knowledge_tracing --data answers.csv --config small
    Then serve what came out, and ask where it came from:
      homeroom serve knowledge_tracing
      homeroom lineage knowledge_tracing

    Artifacts live in HOMEROOM_STORE, a folder or an s3:// URL (by default a folder in your data directory). Every
    command has its own --help.

    \b
    Exit codes (docs/reference/errors.md says more):
      0 done                       6 stopped by a limit on quality or fairness
      1 a check of doctor failed   7 an optional package is missing
      2 usage or configuration     8 no room on a disk or in memory
      3 data                       9 a device (GPU) is missing
      4 a place cannot be reached, read or written: store, bucket, server
      5 training or export        70 a fault in homeroom     130 interrupted
     75 training made room for others, and goes on when run again
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors become one message and an exit code, and with `--json` an object as well."""
    refuse_tracking()
    for name, value in (
        # Prefect's own server takes up to half a minute on a busy machine; its default limit is 20 s.
        ("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120"),
        # Our own display and messages say it; a schedule, which nobody watches, logs more.
        ("PREFECT_LOGGING_LEVEL", "INFO" if "schedule" in sys.argv[1:2] else "CRITICAL"),
        ("PREFECT_LOGGING_INTERNAL_LEVEL", "ERROR" if "schedule" in sys.argv[1:2] else "CRITICAL"),
    ):
        os.environ.setdefault(name, value)
    try:
        code: Any = cli.main(args=arguments, prog_name="homeroom", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        _tell_json(arguments, type(error).__name__, error.exit_code, error.format_message())
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(STOPPED, err=True)
        _tell_json(arguments, "Interrupted", 130, STOPPED)
        sys.exit(130)
    except BrokenPipeError:  # whoever read standard output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        from flows.failures import failure_of, traceback_wanted  # late: help needs none of it

        failure = failure_of(error)
        click.echo(f"error: {failure.message}", err=True)
        _tell_json(arguments, failure.kind, failure.exit_code, failure.message)
        if traceback_wanted():
            traceback.print_exception(getattr(error, "original", error))
        sys.exit(failure.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _tell_json(arguments: Sequence[str] | None, kind: str, exit_code: int, message: str) -> None:
    """Print the error on standard output for whoever asked for JSON there, so that it is always one JSON object."""
    if "--json" in (sys.argv[1:] if arguments is None else arguments):
        click.echo(json.dumps({"error": {"kind": kind, "exit_code": exit_code, "message": message}}, indent=1))


if __name__ == "__main__":
    main()
