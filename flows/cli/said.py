"""What the commands on releases print: for people, and as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from components.gate.decision import Decision
    from serving.registry import ReleaseRegistry, State


def say_change(
    state: "State | None", decision: "Decision | None", as_json: bool, *, by_entry: bool = False, **more: Any
) -> None:
    """Say what serves after a command, and what became of the release that it named.

    Args:
        state: the last entry of the log.
        decision: on the release.
        as_json: print one JSON object.
        by_entry: what became of it is the entry itself, not what was decided earlier: a canary, a shadow, a rollback.
        more: for the JSON object.
    """
    if as_json:
        value = {
            "entry": None if state is None else state.to_json(),
            "decision": None if decision is None else {**decision.to_json(), "digest": decision.digest},
            **more,
        }
        click.echo(json.dumps(value, indent=1))
        return
    if decision is not None and state is not None and by_entry:
        words = {"rollback": "rolled back to", "shadow": "a shadow"}.get(state.action, "a canary")
        click.echo(f"{decision.version}: {words} ({state.reason})")
    elif decision is not None:
        click.echo(f"{decision.version}: {decision.status} ({decision.reason})")
    say_slots(state)


def say_slots(state: "State | None") -> None:
    """Say which release is in which slot."""
    from components.gate.override import today_utc

    if state is None or state.champion is None:
        click.echo("nothing serves yet")
        return
    click.echo(f"current: {state.champion.version}")
    if state.challenger is not None:
        click.echo(f"challenger: {state.challenger.version}, {state.challenger.percent} % of the students")
    if state.shadow is not None:
        click.echo(f"shadow: {state.shadow.version}")
    if state.override is not None:
        click.echo(f"  {state.override.sentence(today_utc())}")


def print_decision(decision: "Decision") -> None:
    """Print what the gate found out about a release, the worst first."""
    from components.gate.decision import worst_first
    from components.gate.override import today_utc

    when = f" on {decision.decided}" if decision.decided else ""
    by = f" by {decision.by}" if decision.by else ""
    click.echo(f"{decision.version}: {decision.outcome}{when}{by}, {decision.status}")
    click.echo(f"  {decision.reason}")
    if decision.override is not None:
        click.echo(f"  {decision.override.sentence(today_utc())}")
    for finding in worst_first(decision.findings):
        click.echo(f"{finding.outcome:<4}  {finding.check:<15}  {finding.reason}")


def standing_of(registry: "ReleaseRegistry", application: str, version: str) -> dict[str, Any]:  # Any: plain JSON
    """Return what the log says of a release: the decision says what was decided, the log alone what serves.

    `slot` is where it is now, or null; `changes` is every time that it became champion, oldest first; `problem` why the
    log cannot be read, where it cannot.
    """
    from components.errors import StoreError

    try:
        state, history = registry.log(application).latest(), registry.history(application)
    except StoreError as error:
        return {"slot": None, "percent": None, "changes": [], "problem": str(error)}
    slots = ("champion", "challenger", "shadow") if state is not None else ()
    there = [name for name in slots if (slot := getattr(state, name)) is not None and slot.version == version]
    share = state.challenger.percent if state and state.challenger and there[:1] == ["challenger"] else None
    changes = [one.to_json() for one in history if one.version == version]
    return {"slot": there[0] if there else None, "percent": share, "changes": changes, "problem": ""}


def standing_sentence(standing: Mapping[str, Any]) -> str:
    """Return in words what `standing_of` found."""
    if standing["problem"]:
        return f"the log says nothing: {standing['problem']}"
    slot, changes = standing["slot"], standing["changes"]
    last = changes[-1] if changes else None
    became = "" if last is None else f", {last['action']} at {last['since']} by {last['by']} ({last['reason']})"
    if slot == "champion":
        return f"the log says: it serves{became}"
    share = f", {standing['percent']} % of the students" if standing["percent"] is not None else ""
    now = f"it is the {slot}{share}" if slot else "it does not serve"
    return f"the log says: {now}; it never was champion" if last is None else f"the log says: {now}; it did{became}"


def table(rows: Sequence[Sequence[object]]) -> None:
    """Print rows with aligned columns."""
    widths = [max(len(str(row[at])) for row in rows) for at in range(len(rows[0]))] if rows else []
    for row in rows:
        click.echo("  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def plain(value: Mapping[str, Any]) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=1))
