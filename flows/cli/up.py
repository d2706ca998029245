"""`homeroom up`, `down` and `status`: everything that one machine runs for its districts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # light to import: a command line that only shows its help needs none of it
    from flows.installation.places import Installation
    from flows.installation.state import Running

FIRST_PORT = 3000
DETACHED_S = 600.0
"""How long `--detach` waits until everything is started."""
file_option = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="The installation's file.  [default: homeroom.toml here, else in the user's configuration folder]",
)


@click.command()
@file_option
@click.option("--detach", is_flag=True, help="Give the terminal back once everything is started.")
@click.option("--quiet", is_flag=True, help="Say what happens in logs/up.log of the state folder alone.")
@click.option("--status", "show", is_flag=True, help="Show what runs, and start nothing.")
@click.pass_context
def up(context: click.Context, file: Path | None, detach: bool, quiet: bool, show: bool) -> None:
    """Start Prefect's server, and a worker, schedules and services for each district; until Ctrl-C or `homeroom down`.

    What dies is started again. A second `homeroom up` shows what runs already. Without a file there is one district,
    with the places of the environment (HOMEROOM_STORE ...), whose current releases are served.

    \b
    Example:
      homeroom up --file /etc/homeroom/homeroom.toml
    """
    from flows.installation import state
    from flows.installation.places import unheard
    from flows.installation.running import Up

    if show:
        context.invoke(status, file=file)
        return
    installation = find_installation(file)
    running = state.read_state(installation.state)
    if running is not None and running.is_running:
        click.echo("It runs already:", err=True)
        _show(running)
        return
    if names := unheard(installation):
        click.echo(
            f"warning: {', '.join(names)}: set here, but the districts of {installation.file} have what it says for "
            "each. Put what a district needs into the file of its `environment` (access keys: `access_keys`).",
            err=True,
        )
    if detach:
        _detach(installation, file)
        return
    Up(installation, lambda line: None if quiet else click.echo(line, err=True)).run()


@click.command()
@file_option
def down(file: Path | None) -> None:
    """Stop what `homeroom up` started: services, then workers once their stages end or the time is up, then Prefect.

    Schedules stay. A run that had to be killed goes on where it was when it is due again.

    \b
    Example:
      homeroom down
    """
    from flows.installation.running import down as end

    installation = find_installation(file)
    if end(installation, lambda line: click.echo(line, err=True)):
        click.echo("Stopped.", err=True)
    else:
        click.echo(f"Nothing runs of the installation in {installation.state}.", err=True)


@click.command()
@file_option
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(file: Path | None, as_json: bool = False) -> None:
    """Show what `homeroom up` runs here. Ends with exit code 1 where a process is missing.

    \b
    Example:
      homeroom status --json
    """
    from flows.installation import state

    installation = find_installation(file)
    running = state.read_state(installation.state)
    if running is None or not running.is_running:
        if as_json:
            click.echo(json.dumps({"running": False, "processes": []}))
        else:
            click.echo(f"Nothing runs of the installation in {installation.state}. `homeroom up` starts it.")
        sys.exit(1)
    good = _show(running, as_json=as_json)
    sys.exit(0 if good else 1)


def find_installation(file: Path | None) -> Installation:
    """Return the installation that the file describes, or that of a machine without one.

    Raises:
        ConfigError: the file makes no sense.
    """
    from flows.installation.file import default_file, read_plan
    from flows.installation.places import resolve, without_file
    from flows.settings import Settings

    found = default_file() if file is None else file
    if found is not None:
        return resolve(read_plan(found), found)
    settings = Settings()
    return without_file(settings, _released(settings.open_store()))


def _released(store: object) -> dict[str, int]:
    """Return a port for each application that has a current release; an application keeps its port."""
    from components.app import application_names
    from serving.registry import ReleaseRegistry

    registry = ReleaseRegistry(store)  # type: ignore[arg-type]  # named as an object, so that help loads no store
    names = sorted(application_names())
    return {name: FIRST_PORT + at for at, name in enumerate(names) if registry.current(name) is not None}


def _detach(installation: Installation, file: Path | None) -> None:
    """Start `homeroom up` in a session of its own and wait until it has started everything.

    Raises:
        StoreError: it ended before that, or takes too long.
    """
    from components.errors import ConfigError, StoreError
    from flows.installation import state
    from flows.installation.children import importable

    words = [] if file is None else ["--file", str(file.absolute())]
    log = installation.state / "logs" / "up.log"
    with tempfile.TemporaryFile() as failed:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows", "up", "--quiet", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=failed,
            start_new_session=True,
            env=importable(os.environ),
        )
        end = time.monotonic() + DETACHED_S
        while time.monotonic() < end:
            running = state.read_state(installation.state)
            if running is not None and running.pid == process.pid and running.phase == "running":
                _show(running)
                click.echo(f"Its log: {log}. Stop it with: homeroom down", err=True)
                return
            if process.poll() is not None:
                failed.seek(0)
                said = failed.read().decode(errors="replace").strip().removeprefix("error: ")
                kind = ConfigError if process.returncode == ConfigError.exit_code else StoreError
                raise kind(f"`homeroom up` ended with status {process.returncode}: {said[-4000:]}")
            time.sleep(0.2)
    raise StoreError(f"`homeroom up` has not started everything within {DETACHED_S:.0f} s; see {log}")


def _stamp(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="seconds")


def _show(running: Running, *, as_json: bool = False) -> bool:
    """Show the processes; return whether all of them run."""
    from flows.installation.probes import answers

    rows = []
    for one in running.children:
        ready = one.is_running and (
            not one.url or answers(one.url + ("/health" if one.kind == "server" else "/readyz"))
        )
        rows.append(
            {
                "name": one.name,
                "state": ("ready" if ready else "starting") if one.is_running else "waits to be started again",
                "pid": one.pid if one.is_running else None,
                "since": _stamp(one.start.utc_s()) if one.started else "",
                "restarts": one.restarts,
                "url": one.url,
                "log": one.log,
            }
        )
    if as_json:
        click.echo(
            json.dumps({"running": True, "phase": running.phase, "pid": running.pid, "processes": rows}, indent=1)
        )
    else:
        click.echo(f"homeroom up is {running.phase} (process {running.pid})")
        width = max((len(str(row["name"])) for row in rows), default=0)
        for row in rows:
            again = f", started again {row['restarts']} time(s)" if row["restarts"] else ""
            where = f" at {row['url']}" if row["url"] else ""
            click.echo(f"  {row['name']:<{width}}  {row['state']}{where}, process {row['pid'] or '-'}{again}")
    return all(one.is_running for one in running.children)
