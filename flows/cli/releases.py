"""`homeroom releases`: what serves, what did and when, what the gate found, and whether the log is whole."""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.registry import Fault, Pointer, ReleaseRegistry, State


@click.command()
@click.argument("application")
@click.option(
    "--at", metavar="WHEN", help="What served on a day (2026-05-01) or at a moment (2026-05-01T10:30), in UTC."
)
@click.option("--check", is_flag=True, help="Look for entries of the log that are missing, changed or unreadable.")
@click.option("--decision", metavar="VERSION", help="Show what the gate found out about this release, with reasons.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--rollback", is_flag=True, help="As `homeroom rollback APPLICATION`.")
@click.option("--to", metavar="VERSION", help="With --rollback: the release to go back to.")
@click.option("--promote", metavar="VERSION", help="As `homeroom promote VERSION`.")
@click.option("--reason", default=None, help="With --rollback or --promote: for the record.  [default: by hand]")
@click.option("--by", metavar="NAME", help="With --rollback or --promote: who.  [default: the system's user]")
@click.option("--override-by", metavar="NAME", help="Who answers for letting a release through that the gate stops.")
@click.option("--until", metavar="DATE", help="With --override-by: the last day, in UTC, on which that counts.")
def releases(application: str, as_json: bool, **options: Any) -> None:
    """List the changes of what serves for APPLICATION, latest last, or go back to an earlier release.

    A release that the gate stops serves only by an override: with a name, a reason and a last day.

    \b
    Example:
      homeroom releases knowledge_tracing
      homeroom releases knowledge_tracing --at 2026-05-01
      homeroom releases knowledge_tracing --decision knowledge_tracing-1a2b3c4d5e6f
    """
    from components.app import load_application
    from components.gate.override import make_override
    from components.gate.records import DecisionRecords
    from flows.cli.said import plain, print_decision, say_slots, standing_of, standing_sentence
    from flows.judging import judged_by_itself
    from flows.notices import tell
    from flows.promotion import promote_by_hand, roll_back
    from flows.settings import Settings
    from serving.registry import ReleaseRegistry, faults_of

    settings = Settings()
    store = settings.open_store()
    registry = ReleaseRegistry(store)
    name = load_application(application).name
    promote, rollback, decision = options["promote"], options["rollback"], options["decision"]
    _check_usage(options)
    is_override = options["override_by"] is not None or options["until"] is not None
    override = make_override(options["override_by"], options["reason"], options["until"]) if is_override else None
    if decision is not None:
        release = registry.find(decision, name)
        found = DecisionRecords(store).latest(name, release.version) or judged_by_itself(store, release)
        standing = standing_of(registry, name, release.version)
        if as_json:
            plain({**found.to_json(), "log": standing})
        else:
            print_decision(found)
            click.echo(standing_sentence(standing))
        return
    if options["at"] is not None:
        _say_at(registry, name, options["at"], as_json)
        return
    if options["check"]:
        _say_faults(faults_of(registry.log(name)), name, as_json)
        return
    reason = options["reason"] or "by hand"
    if promote is not None:
        made = promote_by_hand(store, registry.find(promote, name), reason, override, by=options["by"])
        tell(settings, name, made.status, made.version, made.reason)
    if rollback:
        roll_back(store, name, reason, options["to"], override, by=options["by"])
        back = registry.current(name)
        assert back is not None  # it was made to serve
        tell(settings, name, "rolled back", back.version, reason)
    state = registry.log(name).latest()
    history = registry.history(name)
    beside = _beside(registry.log(name).entries())
    if as_json:
        plain(
            {
                "application": name,
                "entry": None if state is None else state.to_json(),
                "history": [pointer.to_json() for pointer in history],
                "beside": [entry.to_json() for entry, _ in beside],
            }
        )
        return
    lines: list[tuple[int, str, str, str, str, str | None]]
    lines = [(one.number or 0, one.since, one.action, one.version, one.reason, one.by) for one in history]
    lines += [(one.number, one.at, one.action, concerns, one.reason, one.by) for one, concerns in beside]
    for _, at, action, version, why, by in sorted(lines, key=lambda line: line[0]):
        click.echo(f"{at}  {action:<9}  {version}  {why}{f'  {by}' if by else ''}")
    current = registry.current(name)
    say_slots(state)
    if state is not None and state.pointer is None and current is not None and current.override is not None:
        from components.gate.override import today_utc

        click.echo(f"  {current.override.sentence(today_utc())}")


def _beside(entries: "Iterable[State]") -> "list[tuple[State, str]]":
    """Return the entries that changed no champion, each with the releases that it is about."""
    found: list[tuple[State, str]] = []
    before: State | None = None
    for entry in entries:
        if entry.pointer is None:
            ended = (
                []
                if before is None
                else [
                    slot.version
                    for slot, now in ((before.challenger, entry.challenger), (before.shadow, entry.shadow))
                    if slot is not None and now is None
                ]
            )
            found.append((entry, entry.concerns or " and ".join(ended)))
        before = entry
    return found


def _check_usage(options: dict[str, Any]) -> None:
    promote, rollback = options["promote"], options["rollback"]
    if options["to"] is not None and not rollback:
        raise click.UsageError("--to goes with --rollback.")
    if sum((promote is not None, rollback, options["decision"] is not None)) > 1:
        raise click.UsageError("--promote, --rollback and --decision exclude each other.")
    is_override = options["override_by"] is not None or options["until"] is not None
    if is_override and promote is None and not rollback:
        raise click.UsageError("--override-by and --until go with --promote or --rollback.")
    if (options["at"] is not None or options["check"]) and (promote is not None or rollback or options["decision"]):
        raise click.UsageError("--at and --check only look; leave --promote, --rollback and --decision out.")


def served_between(registry: "ReleaseRegistry", application: str, start: datetime, end: datetime) -> list["Pointer"]:
    """Return what served at any time from `start` to before `end`, oldest first."""
    from serving.registry import STAMP

    first = registry.champion_at(application, start)
    later = [one for one in registry.history(application) if start.strftime(STAMP) < one.since < end.strftime(STAMP)]
    return [*([] if first is None else [first]), *later]


def _say_at(registry: "ReleaseRegistry", application: str, when: str, as_json: bool) -> None:
    try:
        start = datetime.fromisoformat(when)
    except ValueError as error:
        raise click.UsageError(
            f"--at {when} is no day or moment; expected e.g. 2026-05-01 or 2026-05-01T10:30."
        ) from error
    start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    is_day = len(when) == len("2026-05-01")
    found = served_between(registry, application, start, start + (timedelta(days=1) if is_day else timedelta(0)))
    if as_json:
        click.echo(
            json.dumps({"application": application, "at": when, "served": [one.to_json() for one in found]}, indent=1)
        )
        return
    for one in found:
        by = f", by {one.by}" if one.by else ""
        click.echo(f"{one.version}  since {one.since}{by}  ({one.reason})")
    if not found:
        click.echo(f"nothing served for {application} then")


def _say_faults(faults: list["Fault"], application: str, as_json: bool) -> None:
    if as_json:
        found = [{"number": one.number, "kind": one.kind, "sentence": one.sentence} for one in faults]
        click.echo(json.dumps({"application": application, "faults": found}, indent=1))
    else:
        for one in faults:
            click.echo(one.sentence)
        if not faults:
            click.echo(f"the log of {application} is whole")
    if any(not one.is_harmless for one in faults):
        sys.exit(1)
