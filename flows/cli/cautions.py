"""What is said of a release before it is served or packed: that the gate stops it, or that people have to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # light to import: a command line that only shows its help needs none of it
    from components.artifacts import Release
    from components.gate.decision import Decision
    from components.gate.override import Override
    from components.store import Store


def caution(store: Store, release: Release) -> Override | None:
    """Warn of what speaks against a release; return by whose word it serves where the gate stops it."""
    from components.errors import StoreError
    from components.gate.override import today_utc
    from components.gate.records import DecisionRecords
    from flows.approving import lacks_approvals
    from serving.registry import ReleaseRegistry

    try:
        decision = DecisionRecords(store).latest(release.application, release.version)
        if decision is None:
            return None
        if lacks_approvals(decision, ReleaseRegistry(store)):
            click.echo(f"warning: {release.version} {_lacks(decision)}: for a look, not for students", err=True)
    except StoreError as error:  # it was promoted already: a server does not stay away for that
        click.echo(f"warning: {error}", err=True)
        return None
    if decision.outcome != "stop":
        return None
    given = decision.override
    told = "no override was given: for a look, not for students" if given is None else given.sentence(today_utc())
    click.echo(f"warning: the gate stops {release.version}; {told}", err=True)
    return given


def _lacks(decision: Decision) -> str:
    """Return in words that people have not approved a release."""
    from components.gate.approval import approved_by
    from components.gate.override import today_utc

    if decision.until and not decision.can_be_approved(today_utc()):
        return f"was to be approved until {decision.until} and was not, which is a no"
    waits = f", for which it waits until {decision.until}" if decision.until else ""
    return f"needs the approval of {decision.needs} and has {len(approved_by(decision))}{waits}"
