"""CPU time that the door of the service costs a request: keys, sessions, tokens, limits, around an empty application.

    python -m benchmarks.access

Each way is measured alone, in rounds that take turns, by CPU time of this process; the least of the rounds counts. What
the empty application and the measuring itself cost is taken off.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from serving.access.clients import Client
from serving.access.file import edited
from serving.access.keys import new_key, now_utc
from serving.access.middleware import Access
from serving.access.ring import KeyRing
from serving.access.sessions import Sessions
from serving.access.tokens import Issuer, IssuerSettings, read_token
from serving.settings import ServiceSettings

REQUESTS, ROUNDS = 5_000, 9


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None:
    return None


def scope_of(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """Return a request as uvicorn hands it on, with the headers that a client sends."""
    usual = (
        (b"host", b"127.0.0.1:3000"),
        (b"user-agent", b"python-httpx/0.28.1"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"content-type", b"application/json"),
        (b"content-length", b"2048"),
    )
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/predict",
        "scheme": "http",
        "client": ("10.0.0.7", 40_000),
        "server": ("127.0.0.1", 3000),
        "headers": [*usual, *headers],
    }


def seconds(app: Callable[[Any, Any, Any], Coroutine[Any, Any, None]], scope: dict[str, Any]) -> float:
    """Return the CPU time of one request."""

    async def run() -> float:
        began = time.process_time()
        for _ in range(REQUESTS):
            await app({**scope}, _receive, _send)
        return (time.process_time() - began) / REQUESTS

    return asyncio.run(run())


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "access.json"
        owner = Client(id="school", roles=frozenset({"grade"}), rate=1e6, burst=1_000_000)
        key, record = new_key(owner, now_utc())
        with edited(file) as stored:
            stored.append(record)
            stored.extend(new_key(owner, now_utc())[1] for _ in range(999))

        def door(**more: Any) -> Access:
            settings = ServiceSettings(serve_limits=Path(folder) / "limits", **more)
            return Access(empty, lambda: settings)

        keyed = door(serve_keys=file)
        ring = KeyRing(file)
        cookie = Sessions(ring, b"secret").cookie(record, secure=False).partition(";")[0].encode()
        sessions = Sessions(ring, b"secret")
        keyed._sessions = sessions
        signing = ed25519.Ed25519PrivateKey.generate()
        pem = signing.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        issuer = Issuer.of(IssuerSettings(issuer="i", audience="a", algorithm="EdDSA", public_key=pem))
        claims = {"iss": "i", "aud": "a", "sub": "school", "exp": int(time.time()) + 900, "roles": ["grade"]}
        token = jwt.encode(claims, signing, algorithm="EdDSA")
        tokened = door(serve_keys=file)
        assert tokened._ring is not None
        tokened._ring._issuers = (issuer,)
        bearer = (b"authorization", b"Bearer " + key.encode())
        ways: dict[str, tuple[Any, dict[str, Any]]] = {
            "nothing": (empty, scope_of()),
            "no keys (this machine alone)": (door(), scope_of()),
            "key, one of a thousand": (keyed, scope_of(bearer)),
            "session cookie": (keyed, scope_of((b"cookie", cookie), (b"sec-fetch-site", b"same-origin"))),
            "token (JWT), seen before": (tokened, scope_of((b"authorization", b"Bearer " + token.encode()))),
            "wrong key": (keyed, scope_of((b"authorization", b"Bearer hr_000000000000_" + b"x" * 43))),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (app, scope) in ways.items():
                found[name].append(seconds(app, scope))
        least = {name: min(rounds) for name, rounds in found.items()}
        for name, value in least.items():
            if name != "nothing":
                print(f"{name:32s} {(value - least['nothing']) * 1e6:6.1f} us")
        began = time.process_time()
        for _ in range(500):
            assert read_token(token, (issuer,)) is not None
        print(f"{'token (JWT), first time':32s} {(time.process_time() - began) / 500 * 1e6:6.1f} us")


if __name__ == "__main__":
    main()
