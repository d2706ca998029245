"""`homeroom approve`, `reject` and `approvers`: people's word on a release, signed with their own keys."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from components.gate.approval import Verdict


def _word(version: str, verdict: "Verdict", by: str, reason: str, key: Path | None, as_json: bool) -> None:
    from components.gate.approval import Approvers
    from components.signing import read_signing_key
    from flows.approving import give_word
    from flows.cli.said import say_change
    from flows.notices import tell
    from flows.settings import Settings
    from serving.registry import ReleaseRegistry

    settings = Settings()
    store = settings.open_store()
    registry = ReleaseRegistry(store)
    release = registry.find(version)
    Approvers(store, settings.trusted_keys()).find(by)  # who is none has no key file either: say the former
    said = give_word(
        store,
        release,
        verdict,
        by=by,
        reason=reason,
        key=read_signing_key(key or settings.approver_key_file(by)),
        trusted=settings.trusted_keys(),
    )
    if said.promoted or verdict == "reject":
        tell(settings, release.application, said.decision.status, release.version, said.decision.reason)
    approvals = [one.to_json() for one in said.approvals]
    say_change(registry.log(release.application).latest(), said.decision, as_json, approvals=approvals)
    if not as_json and not said.promoted and verdict == "approve":
        click.echo(f"{len(said.approvals)} of {said.decision.needs} approvals; the last day is {said.decision.until}")


@click.command()
@click.argument("version")
@click.option("--by", required=True, metavar="NAME", help="The approver's name (`homeroom approvers`).")
@click.option("--reason", required=True, help="Why it should serve; for the record.")
@click.option("--key", type=click.Path(path_type=Path), help="The approver's private key, if not in HOMEROOM_KEYS.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def approve(version: str, by: str, reason: str, key: Path | None, as_json: bool) -> None:
    """Approve the release VERSION, which waits for that; the last approval that is needed makes it serve.

    \b
    Example:
      homeroom approve knowledge_tracing-1a2b3c4d5e6f --by a.mensah --reason "looked at the groups; fine"
    """
    _word(version, "approve", by, reason, key, as_json)


@click.command()
@click.argument("version")
@click.option("--by", required=True, metavar="NAME", help="The approver's name (`homeroom approvers`).")
@click.option("--reason", required=True, help="Why it should not serve; for the record.")
@click.option("--key", type=click.Path(path_type=Path), help="The approver's private key, if not in HOMEROOM_KEYS.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def reject(version: str, by: str, reason: str, key: Path | None, as_json: bool) -> None:
    """Reject the release VERSION, which waits for approval: that is the end of it.

    \b
    Example:
      homeroom reject knowledge_tracing-1a2b3c4d5e6f --by a.mensah --reason "the gap of one school is new"
    """
    _word(version, "reject", by, reason, key, as_json)


@click.group()
def approvers() -> None:
    """Say who may approve releases: names and public keys, signed with this installation's own key.

    \b
    Example:
      homeroom approvers add a.mensah
      homeroom approvers list
    """


@approvers.command("add")
@click.argument("name")
@click.option(
    "--public", type=click.Path(path_type=Path), help="The person's own public key; by default a pair is made."
)
@click.option("--by", metavar="NAME", help="Who adds the person.  [default: the system's user]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def add(name: str, public: Path | None, by: str | None, as_json: bool) -> None:
    """Let NAME approve releases.

    Without --public a pair of keys is made in HOMEROOM_KEYS: give the private one to the person, and delete it here.
    """
    from components.gate.approval import Approvers, checked_name
    from components.signing import PublicKey, read_or_make_signing_key, read_trusted_keys
    from flows.settings import Settings
    from serving.registry import this_person

    settings = Settings()
    store, signing_key = settings.open_store(), settings.read_signing_key()
    people = Approvers(store, settings.trusted_keys())
    people.require_new(checked_name(name))  # before a pair of keys is made for nobody
    file = settings.approver_key_file(name)
    if public is None:
        key: PublicKey = read_or_make_signing_key(file).public
    else:
        keys = read_trusted_keys(public).public
        if len(keys) != 1:
            raise click.UsageError(f"--public {public} holds {len(keys)} public keys; expected one.")
        key = keys[0]
    person = people.add(name, key, by or this_person(), signing_key)
    if as_json:
        click.echo(json.dumps(_shown(person), indent=1))
    else:
        click.echo(
            f"{name} may approve, with key {key.id}" + ("" if public is not None else f"; the private key is {file}")
        )


@approvers.command("remove")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def remove(name: str, as_json: bool) -> None:
    """Let NAME approve no more; what was signed by then serves on, and counts for no new promotion."""
    from components.gate.approval import Approvers
    from flows.settings import Settings

    settings = Settings()
    people = Approvers(settings.open_store(), settings.trusted_keys())
    person = people.remove(name, settings.read_signing_key())
    click.echo(json.dumps(_shown(person), indent=1) if as_json else f"{name} may approve no more")


@approvers.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(as_json: bool) -> None:
    """List who may approve, and who could."""
    from components.gate.approval import Approvers
    from flows.settings import Settings

    settings = Settings()
    people = Approvers(settings.open_store(), settings.trusted_keys()).all()
    if as_json:
        click.echo(json.dumps({"approvers": [_shown(person) for person in people]}, indent=1))
        return
    for person in people:
        ended = f", removed {person.removed}" if person.removed else ""
        click.echo(f"{person.name}  key {person.public.id}  added {person.added} by {person.added_by}{ended}")
    if not people:
        click.echo("nobody may approve releases yet")


def _shown(person: Any) -> dict[str, str]:  # Any: an Approver, whose module is loaded late
    return {
        "name": person.name, "key_id": person.public.id, "key": person.key, "added": person.added,
        "added_by": person.added_by, "removed": person.removed,
    }  # fmt: skip
