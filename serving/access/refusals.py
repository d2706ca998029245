"""How a request is refused: in the same JSON as every other failure, before anything of its body is read."""

import json
import math
from dataclasses import dataclass

from serving.asgi import Send

Headers = tuple[tuple[bytes, bytes], ...]
NO_STORE = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer; `error` repeats nothing of what the client sent."""

    status: int
    error: str
    headers: Headers = ()


def unauthorized(*, is_wrong: bool) -> Refusal:
    """No key or token, or one that does not count; which of the ways it is wrong is not told."""
    if not is_wrong:
        return Refusal(
            401,
            "This server asks for a key. Send it as the header `authorization: Bearer <key>`, or sign in on a page.",
            ((b"www-authenticate", b'Bearer realm="homeroom"'),),
        )
    return Refusal(
        401,
        "The key or token does not count here (any more). Ask whoever runs this server for another.",
        ((b"www-authenticate", b'Bearer realm="homeroom", error="invalid_token"'),),
    )


def forbidden(missing: tuple[str, ...]) -> Refusal:
    """The client has not the roles."""
    named = " and ".join(f"`{role}`" for role in missing)
    challenge = f'Bearer realm="homeroom", error="insufficient_scope", scope="{" ".join(missing)}"'
    return Refusal(
        403,
        f"This needs the role {named}, which this key does not have; whoever runs this server can make one that has.",
        ((b"www-authenticate", challenge.encode()),),
    )


def too_many(wait_s: float, rate: float, burst: int) -> Refusal:
    """The client asks more than it may."""
    return Refusal(
        429,
        f"This client may ask {rate:g} times a second, {burst} times at once. Ask again after `retry-after` seconds.",
        ((b"retry-after", str(max(1, math.ceil(wait_s))).encode()),),
    )


WRONG_TYPE = Refusal(415, "The content-type must be application/json, in UTF-8; send JSON and say so.")
WRONG_HOST = Refusal(
    421,
    "This server does not answer under this name. On its own machine it is localhost or 127.0.0.1; whoever runs it "
    "adds others in HOMEROOM_SERVE_HOSTS.",
)
OTHER_SITE = Refusal(
    403, "Another site sent this. Who is signed in on a page is taken at their word by that page alone."
)
OTHER_DISTRICT = Refusal(403, "This server answers another district. Ask whoever gave you the key for its address.")
NOT_OPEN = Refusal(
    403,
    "This server has no keys, and so answers its own machine alone. Whoever runs it gives it keys (`homeroom keys add`,"
    " HOMEROOM_SERVE_KEYS), or opens it to everybody who can reach it (HOMEROOM_SERVE_OPEN=true).",
)


async def refuse(send: Send, refusal: Refusal) -> None:
    """Send a refusal."""
    body = json.dumps({"error": refusal.error, "status": refusal.status, "problems": []}).encode()
    await answer(send, refusal.status, body, refusal.headers)


async def answer(
    send: Send, status: int, body: bytes, headers: Headers = (), kind: bytes = b"application/json"
) -> None:
    """Send a whole answer, which nobody may keep."""
    start = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), NO_STORE, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
