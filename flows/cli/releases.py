"""`homeroom releases`: what serves, what did, what the gate found, and the way back."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from components.gate.decision import Decision


@click.command()
@click.argument("application")
@click.option("--rollback", is_flag=True, help="Make the release before the current one serve again.")
@click.option("--to", metavar="VERSION", help="With --rollback: the release to go back to.")
@click.option("--promote", metavar="VERSION", help="Make this release serve, whatever the comparison said.")
@click.option("--decision", metavar="VERSION", help="Show what the gate found out about this release, with reasons.")
@click.option("--json", "as_json", is_flag=True, help="With --decision: print it as one JSON object.")
@click.option("--reason", default=None, help="With --rollback or --promote: for the record.  [default: by hand]")
@click.option("--override-by", metavar="NAME", help="Who answers for letting a release through that the gate stops.")
@click.option("--until", metavar="DATE", help="With --override-by: the last day, in UTC, on which that counts.")
def releases(
    application: str,
    rollback: bool,
    to: str | None,
    promote: str | None,
    decision: str | None,
    as_json: bool,
    reason: str | None,
    override_by: str | None,
    until: str | None,
) -> None:
    """List the changes of what serves for APPLICATION, latest last, or go back to an earlier release.

    A release that the gate stops serves only by an override: with a name, a reason and a last day.

    \b
    Example:
      homeroom releases knowledge_tracing --rollback
      homeroom releases knowledge_tracing --decision knowledge_tracing-1a2b3c4d5e6f
      homeroom releases knowledge_tracing --promote knowledge_tracing-1a2b3c4d5e6f --reason "the council approved it"
      homeroom releases knowledge_tracing --promote knowledge_tracing-1a2b3c4d5e6f --override-by "A. Mensah" \\
        --reason "the council accepted the gap for this term" --until 2027-01-31
    """
    from components.app import load_application
    from components.gate.override import make_override, today_utc
    from components.gate.records import DecisionRecords
    from flows.promotion import judged_by_itself, promote_by_hand, roll_back
    from flows.settings import Settings
    from serving.registry import ReleaseRegistry

    store = Settings().open_store()
    registry = ReleaseRegistry(store)
    name = load_application(application).name
    if to is not None and not rollback:
        raise click.UsageError("--to goes with --rollback.")
    if sum((promote is not None, rollback, decision is not None)) > 1:
        raise click.UsageError("--promote, --rollback and --decision exclude each other.")
    if as_json and decision is None:
        raise click.UsageError("--json goes with --decision.")
    is_override = override_by is not None or until is not None
    if is_override and promote is None and not rollback:
        raise click.UsageError("--override-by and --until go with --promote or --rollback.")
    override = make_override(override_by, reason, until) if is_override else None
    if decision is not None:
        release = registry.find(decision, name)
        found = DecisionRecords(store).latest(name, release.version) or judged_by_itself(store, release)
        if as_json:
            click.echo(json.dumps(found.to_json(), indent=1))
        else:
            print_decision(found)
        return
    if promote is not None:
        promote_by_hand(store, registry.find(promote, name), reason or "by hand", override)
    if rollback:
        roll_back(store, name, reason or "by hand", to, override)
    for entry in registry.history(name):
        click.echo(f"{entry.since}  {entry.action:<8}  {entry.version}  {entry.reason}")
    current = registry.current(name)
    click.echo(f"current: {current.version}" if current else "nothing serves yet")
    if current is not None and current.override is not None:
        click.echo(f"  {current.override.sentence(today_utc())}")


def print_decision(decision: "Decision") -> None:
    """Print what the gate found out about a release, the worst first."""
    from components.gate.decision import worst_first
    from components.gate.override import today_utc

    when = f" on {decision.decided}" if decision.decided else ""
    click.echo(f"{decision.version}: {decision.outcome}{when}, {'promoted' if decision.promote else 'not promoted'}")
    click.echo(f"  {decision.reason}")
    if decision.override is not None:
        click.echo(f"  {decision.override.sentence(today_utc())}")
    for finding in worst_first(decision.findings):
        click.echo(f"{finding.outcome:<4}  {finding.check:<15}  {finding.reason}")
