"""`homeroom keys`: who may ask a served release, and what."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from serving.access.keys import AccessKey

_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _span(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    """Read a length of time such as 90d."""
    found = None if value is None else _SPAN.fullmatch(value)
    if value is not None and found is None:
        raise click.BadParameter(f"{value!r} is no length of time; expected e.g. 30m, 12h, 90d or 52w.", ctx, param)
    return None if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


FILE = click.option(
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="The file of access keys.  [default: HOMEROOM_SERVE_KEYS, or access.json in HOMEROOM_KEYS]",
)


@click.group()
def keys() -> None:
    """Make, list, renew and revoke the keys that clients of a served release show.

    A key is shown once, when it is made; the file holds its digest alone. Servers read the file again within a second
    of a change, without a restart.

    \b
    Roles: grade (predictions and grades), override (teachers' corrections), read (version, model card, rubrics,
    metrics, the pages), approve (a word on releases). A teacher needs grade, override and read.

    \b
    Example:
      homeroom keys add lincoln-high --role grade --role override --role read --district north --expires 52w
      homeroom serve essay_grading
      homeroom keys rotate lincoln-high --overlap 7d
    """


@keys.command()
@click.argument("client")
@click.option(
    "--role",
    "roles",
    type=click.Choice(["grade", "override", "approve", "read"]),
    multiple=True,
    required=True,
    help="What the client may do. May be given several times.",
)
@click.option("--district", default=None, help="Whose client it is; a server may answer one district alone.")
@click.option("--rate", type=click.FloatRange(0.001, 1e6), default=20.0, show_default=True, help="Requests per second.")
@click.option(
    "--burst", type=click.IntRange(1, 1_000_000), default=40, show_default=True, help="Requests at once after a rest."
)
@click.option(
    "--expires",
    callback=_span,
    metavar="SPAN",
    default=None,
    help="Life of the key, e.g. 90d or 52w.  [default: for ever]",
)
@FILE
def add(
    client: str,
    roles: tuple[str, ...],
    district: str | None,
    rate: float,
    burst: int,
    expires: timedelta | None,
    file: Path | None,
) -> None:
    """Make a key for CLIENT and print it: on standard output, once, and nowhere else."""
    from serving.access.clients import CLIENT_ID, Client
    from serving.access.file import edited
    from serving.access.keys import new_key, now_utc

    for name, value in (("CLIENT", client), ("--district", district)):
        if value is not None and not CLIENT_ID.fullmatch(value):
            expected = "expected 1 to 64 letters, digits and . _ @ : -, a letter or digit first."
            raise click.BadParameter(f"{value!r}: {expected}", param_hint=name)
    place = _place(file)
    now = now_utc()
    owner = Client(id=client, roles=frozenset(roles), district=district, rate=rate, burst=burst)
    with edited(place) as stored:
        if any(key.client.id == client and not key.problem_at(now) for key in stored):
            raise click.UsageError(
                f"{client} has a key that counts: `homeroom keys rotate {client}` makes another beside it for a while, "
                f"`homeroom keys revoke {client}` ends it."
            )
        key, record = new_key(owner, now, expires)
        stored.append(record)
    _show(key, record, place)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@FILE
def list_(as_json: bool, file: Path | None) -> None:
    """List the keys: id, client, roles, limits, and whether they count. Keys themselves are stored nowhere."""
    from serving.access.file import read_access_file
    from serving.access.keys import now_utc

    place = _place(file)
    now = now_utc()
    found = read_access_file(place)
    if as_json:
        rows = [{**_row(key), "state": key.problem_at(now) or "counts"} for key in found.keys]
        issuers = [one.settings.issuer for one in found.issuers]
        click.echo(json.dumps({"file": str(place), "keys": rows, "issuers": issuers}, indent=1))
        return
    for key in found.keys:
        until = "for ever" if key.expires is None else f"until {key.expires:%Y-%m-%d %H:%M} UTC"
        state = key.problem_at(now) or until
        roles, owner = ",".join(sorted(key.client.roles)), key.client
        where = f"  of {owner.district}" if owner.district else ""
        click.echo(f"{key.id}  {owner.id}  {roles}  {owner.rate:g}/s, {owner.burst} at once  {state}{where}")
    for issuer in found.issuers:
        click.echo(f"tokens of {issuer.settings.issuer} ({issuer.settings.algorithm})")


@keys.command()
@click.argument("client")
@click.option(
    "--overlap",
    callback=_span,
    metavar="SPAN",
    default="7d",
    show_default=True,
    help="How long the old key counts beside the new one.",
)
@click.option(
    "--expires", callback=_span, metavar="SPAN", default=None, help="Life of the new key.  [default: for ever]"
)
@FILE
def rotate(client: str, overlap: timedelta, expires: timedelta | None, file: Path | None) -> None:
    """Make another key for CLIENT, as its last one was; those that it has count on for --overlap."""
    from serving.access.file import edited
    from serving.access.keys import new_key, now_utc

    place = _place(file)
    now = now_utc()
    with edited(place) as stored:
        current = [key for key in stored if key.client.id == client and not key.problem_at(now)]
        if not current:
            raise click.UsageError(_unknown(client, stored, place))
        stored[:] = [key.ended_by(now + overlap) if key in current else key for key in stored]
        key, record = new_key(current[-1].client, now, expires)
        stored.append(record)
    _show(key, record, place)
    click.echo(f"{len(current)} older key(s) of {client} end {now + overlap:%Y-%m-%d %H:%M} UTC", err=True)


@keys.command()
@click.argument("key_or_client")
@FILE
def revoke(key_or_client: str, file: Path | None) -> None:
    """End a key (its id, 12 hex digits) or all keys of a client, at once; also whoever is signed in with it."""
    from dataclasses import replace

    from serving.access.file import edited
    from serving.access.keys import now_utc

    place = _place(file)
    now = now_utc()
    with edited(place) as stored:
        meant = [key for key in stored if key_or_client in {key.id, key.client.id} and not key.problem_at(now)]
        if not meant:
            raise click.UsageError(_unknown(key_or_client, stored, place))
        stored[:] = [replace(key, revoked=now) if key in meant else key for key in stored]
    for key in meant:
        click.echo(f"{key.id} of {key.client.id} is revoked; servers know within a second", err=True)


def default_file() -> Path:
    """Return where the keys of this installation are, unless another file is named."""
    from flows.settings import Settings
    from serving.settings import ServiceSettings

    named = ServiceSettings().serve_keys
    return Settings().keys / "access.json" if named is None else named.expanduser().absolute()


def _place(file: Path | None) -> Path:
    return default_file() if file is None else file.expanduser().absolute()


def _show(key: str, record: "AccessKey", place: Path) -> None:
    click.echo(key)
    click.echo(f"Key {record.id} of {record.client.id}; it is shown this once. Its digest is in {place}", err=True)


def _row(key: "AccessKey") -> dict[str, object]:
    def told(when: datetime | None) -> str | None:
        return None if when is None else when.astimezone(UTC).isoformat()

    return {
        "id": key.id,
        "client": key.client.id,
        "roles": sorted(key.client.roles),
        "district": key.client.district,
        "rate": key.client.rate,
        "burst": key.client.burst,
        "created": told(key.created),
        "expires": told(key.expires),
        "revoked": told(key.revoked),
    }


def _unknown(name: str, stored: "list[AccessKey]", place: Path) -> str:
    known = ", ".join(sorted({key.client.id for key in stored})) or "nobody"
    return f"{name!r} has no key that counts in {place}, which knows: {known}. `homeroom keys list` shows them."
