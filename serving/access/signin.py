"""Signing in and out on the pages: a key typed once becomes a session cookie.

GET /session      who is signed in: {"client": ..., "roles": [...]}; nobody: {"client": null, "roles": []}
POST /session     {"key": ...} -> the same, with the cookie
DELETE /session   signs out
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from serving.access.clients import Client
from serving.access.refusals import OTHER_SITE, Refusal, answer, refuse, unauthorized
from serving.access.ring import KeyRing
from serving.access.sessions import Sessions, ended
from serving.asgi import Receive, Scope, Send

PAGE = Path(__file__).resolve().parent.parent / "page" / "sign-in.html"
LARGEST_BODY = 1_000
LONGEST_WAIT_S = 10.0
"""For a key to arrive; whoever sends it has shown none yet."""
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"vary", b"cookie, accept"),
)


async def answer_session(
    scope: Scope, receive: Receive, send: Send, ring: KeyRing | None, sessions: Sessions | None
) -> None:
    """Answer `/session`. Without a ring nobody signs in, as everybody may ask."""
    method, headers = scope["method"], dict(scope["headers"])
    secure = scope.get("scheme") == "https"
    if method in {"GET", "HEAD"}:
        key = sessions and sessions.key_of(headers.get(b"cookie", b"").decode("latin-1"), secure=secure)
        await answer(send, 200, _said(key.client if key else None))
        return
    if method not in {"POST", "DELETE"}:
        await refuse(send, Refusal(405, "Expected GET, POST or DELETE.", ((b"allow", b"GET, POST, DELETE"),)))
        return
    if not is_same_origin(scope, headers):
        await refuse(send, OTHER_SITE)
        return
    if method == "DELETE":
        await answer(send, 200, _said(None), ((b"set-cookie", ended(secure=secure).encode()),))
        return
    if ring is None or sessions is None:
        await refuse(send, Refusal(404, "This server has no keys, so nobody signs in; just ask."))
        return
    try:
        async with asyncio.timeout(LONGEST_WAIT_S):
            body = await _body(receive)
    except TimeoutError:
        await refuse(send, Refusal(408, f"The key did not arrive within {LONGEST_WAIT_S:g} s; send it faster."))
        return
    if body is None:
        await refuse(send, Refusal(413, f"The body is larger than {LARGEST_BODY} bytes; send a key and nothing else."))
        return
    try:
        typed = json.loads(body)["key"]
    except (ValueError, TypeError, KeyError, RecursionError):
        typed = None
    if not isinstance(typed, str):
        await refuse(send, Refusal(400, 'The request cannot be read; expected {"key": "..."}.'))
        return
    found = ring.key_of(typed.strip())
    if found is None:
        await refuse(send, unauthorized(is_wrong=True))
        return
    cookie = sessions.cookie(found, secure=secure)
    await answer(send, 200, _said(found.client), ((b"set-cookie", cookie.encode()),))


async def show_sign_in(send: Send) -> None:
    """Send the sign-in page in the place of the one that was asked for."""
    challenge = unauthorized(is_wrong=False).headers
    await answer(send, 401, PAGE.read_bytes(), PAGE_HEADERS + challenge, b"text/html; charset=utf-8")


def is_same_origin(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a browser says that a page of this very server sent the request; saying nothing is a no.

    Newer browsers say so in `sec-fetch-site`, to servers with TLS or on loopback; otherwise `origin` tells.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    own = scope.get("scheme", "http").encode() + b"://" + headers.get(b"host", b"")
    return bool(headers.get(b"origin") == own)


def _said(client: Client | None) -> bytes:
    who = None if client is None else client.id
    return json.dumps({"client": who, "roles": sorted(client.roles) if client else []}).encode()


async def _body(receive: Receive) -> bytes | None:
    """Return the body, or None where it is too large."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return body
