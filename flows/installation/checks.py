"""What `homeroom doctor` checks of an installation."""

import stat
from collections.abc import Iterator
from pathlib import Path

from components.errors import ConfigError
from flows.checks import Check
from flows.installation import state
from flows.installation.file import default_file, read_plan
from flows.installation.places import Installation, resolve


def installation_checks(file: Path | None) -> Iterator[Check]:
    """Yield what is found about the installation's file, its secret files and what runs; nothing where there is none.

    Args:
        file: the file; None looks where `homeroom up` does.
    """
    path = default_file() if file is None else file
    if path is None:
        return
    try:
        installation = resolve(read_plan(path), path)
    except ConfigError as error:
        yield Check(name="installation", ok=False, finding=str(error), remedy="docs/how-to/operate.md has the format.")
        return
    names = ", ".join(one.name for one in installation.districts)
    yield Check(name="installation", ok=True, finding=f"{path}: {names}; each has places of its own")
    yield _secret_places(installation)
    yield _processes(installation)


def _secret_places(installation: Installation) -> Check:
    """Nobody else may read the districts' keys, or the state folder with Prefect's database."""
    folders = [installation.state, *(one.keys for one in installation.districts)]
    is_open = [str(one) for one in folders if one.exists() and one.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    return Check(
        name="installation's secrets",
        ok=not is_open,
        finding=f"others may open {', '.join(is_open)}" if is_open else "keys and state are its own user's alone",
        remedy=f"chmod 700 {' '.join(is_open)}" if is_open else "",
    )


def _processes(installation: Installation) -> Check:
    """What was started runs, and has not been started again and again."""
    found = state.read_state(installation.state)
    name = "installation's processes"
    if found is None or not found.is_running:
        return Check(name=name, ok=True, finding="none run; `homeroom up` starts them")
    waiting = [one.name for one in found.children if not one.is_running]
    again = [f"{one.name} ({one.restarts} times)" for one in found.children if one.restarts]
    logs = installation.state / "logs"
    return Check(
        name=name,
        ok=not waiting,
        finding=f"{len(found.children)} run"
        + (f", but {', '.join(waiting)} ended and will be started again" if waiting else "")
        + (f"; started again: {', '.join(again)}" if again else ""),
        remedy=f"Look into {logs}." if waiting or again else "",
    )
