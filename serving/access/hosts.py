"""Under which names a server answers, and whether who asks sits at the same machine.

A page elsewhere can have its own name point at 127.0.0.1 (DNS rebinding) and then read what a server there answers, as
if it were its own. The request still names the page's host, so a server on loopback answers to loopback names alone.
"""

import ipaddress
from collections.abc import Iterable
from typing import Any

FORWARDED = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"})
"""Headers by which a proxy says for whom it asks."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Hosts:
    """The allowed values of the header `host`.

    Args:
        names: host names or addresses, with or without a port; where there are none, a server on a loopback address
            answers to loopback names, and any other server to every name.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.strip().lower() for name in names if name.strip())

    def allows(self, host: str, server: str) -> bool:
        """Return whether a request to `host` that came in at the address `server` may be answered."""
        host = host.lower()
        name = _without_port(host)
        if is_loopback(server):
            return name in LOOPBACK_NAMES or name in self._names or host in self._names
        return not self._names or name in self._names or host in self._names


def is_loopback(address: str) -> bool:
    """Return whether an address is one of this machine that no other can reach; a name never is."""
    if address.startswith("127."):  # nearly all, and quickly
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback if mapped is None else mapped.is_loopback


def is_beyond(address: str) -> bool:
    """Return whether an address can be reached from other machines; a name or path, as tests have, cannot."""
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return not is_loopback(address)


def is_from_here(scope: Any) -> bool:  # Any: an ASGI scope
    """Return whether who asks sits at this machine: from a loopback address, or from the address it asks.

    What a proxy passes on never does, whatever it says of whom it asks for: it may have that from the client itself.
    """
    asking, asked = scope.get("client"), scope.get("server")
    if not asking or any(name in FORWARDED for name, _ in scope["headers"]):
        return False
    return is_loopback(asking[0]) or (asked is not None and asking[0] == asked[0])


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
