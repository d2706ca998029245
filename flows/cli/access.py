"""Options of `homeroom serve` that say who is let in, and over what."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from serving.access.tls import Tls

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)


def access_options(function: F) -> F:
    """Add the options; `access_settings` reads them."""
    options = (
        click.option(
            "--keys",
            type=FILE,
            default=None,
            help="Let in whoever shows a key of this file (`homeroom keys`).  [default: HOMEROOM_SERVE_KEYS, or "
            "access.json in HOMEROOM_KEYS where it is there]",
        ),
        click.option(
            "--open", "is_open", is_flag=True, help="Ask for no key, also on an address that others can reach."
        ),
        click.option("--tls-cert", type=FILE, default=None, help="PEM of the certificate and its chain: serve HTTPS."),
        click.option("--tls-key", type=FILE, default=None, help="PEM of its key."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def access_settings(
    host: str, keys: Path | None, is_open: bool, certificate: Path | None, key: Path | None
) -> "tuple[dict[str, str], Tls | None]":
    """Return variables for the server, and its TLS.

    Raises:
        click.UsageError: they contradict each other, or an address that others can reach would be open to all.
        AccessFileError: the file of keys cannot be used.
        ServerStartError: certificate and key cannot be used.
    """
    from flows.cli.keys import default_file
    from serving.access.file import read_access_file
    from serving.access.hosts import is_loopback
    from serving.access.tls import Tls

    if is_open and keys is not None:
        raise click.UsageError("--open and --keys exclude each other.")
    if (certificate is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key go together.")
    tls = None if certificate is None or key is None else Tls(certificate, key)
    if tls is not None:
        tls.check()
    here_alone = host == "localhost" or is_loopback(host)
    if is_open:
        if not here_alone:
            click.echo(f"warning: whoever reaches {host} may grade, override and read: no key is asked for", err=True)
        return {"HOMEROOM_SERVE_OPEN": "true", "HOMEROOM_SERVE_KEYS": ""}, tls
    place = default_file() if keys is None else keys.expanduser().absolute()
    if keys is None and not place.exists():
        if not here_alone:
            raise click.UsageError(
                f"{host} can be reached from other machines, and there are no keys in {place}. Make one (`homeroom "
                "keys add CLIENT --role grade`), or let in everybody with --open."
            )
        return {}, tls
    found = read_access_file(place)
    if not found.keys and not found.issuers:
        click.echo(f"warning: {place} holds no key, so nobody is let in: `homeroom keys add` makes one", err=True)
    if tls is None and not here_alone:
        click.echo(
            "warning: keys and texts cross the network in the clear: give --tls-cert and --tls-key, or put a proxy "
            "with TLS before this address",
            err=True,
        )
    click.echo(f"Who asks must show a key of {place}", err=True)
    return {"HOMEROOM_SERVE_KEYS": str(place)}, tls
