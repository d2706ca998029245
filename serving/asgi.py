"""The little of ASGI that the hot path needs: a request's headers, its body with limits, and a reply; no framework.

A framework's request, response, router and layers of error handling took a third of the service's CPU time per request
(`benchmarks/service.py`); all that they did here is in this file and in `serving.http`.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from serving.errors import BadRequestError

Scope = MutableMapping[str, Any]  # Any: ASGI's own
Message = MutableMapping[str, Any]  # Any: likewise
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
LENGTH_DIGITS = 15
"""Most digits of a content-length: Python refuses to read very long numbers."""


class ClientGoneError(Exception):
    """The client hung up before its request was there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One HTTP request."""

    scope: Scope
    receive: Receive

    @property
    def path(self) -> str:
        """The path below where the application is mounted, with its slash."""
        path: str = self.scope["path"]
        root: str = self.scope.get("root_path", "")
        if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
            return path[len(root) :]
        return path

    def header(self, name: bytes) -> str | None:
        """Return the first header of this name (lower case), None where there is none."""
        for one, value in self.scope["headers"]:
            if one == name:
                return str(value, "latin-1")
        return None

    async def body(self, most: int, timeout_s: float) -> bytes:
        """Return the body without ever holding more than `most` bytes and one chunk of it.

        Raises:
            BadRequestError: it is larger (413), compressed (415), or does not arrive in time (408).
            ClientGoneError: nobody sends it any more.
        """
        for name, value in self.scope["headers"]:
            if name == b"content-length":
                if not value.isdigit() or len(value) > LENGTH_DIGITS or int(value) > most:
                    raise too_large(most)
            elif name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
                raise BadRequestError(
                    "The body is compressed (it has a content-encoding); expected plain JSON in UTF-8. Send it "
                    "uncompressed.",
                    status=415,
                )
        chunks, size = [], 0
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > most:
                        raise too_large(most)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise BadRequestError(
                f"The body did not arrive within {timeout_s:g} s; send it faster.", status=408
            ) from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    body: bytes
    status: int = 200
    kind: bytes = JSON
    """Its media type."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Besides the body's type and length; names in lower case."""

    async def send(self, send: Send, *more: tuple[bytes, bytes]) -> None:
        """Send it, with more headers."""
        length = (b"content-length", b"%d" % len(self.body))
        headers = [(b"content-type", self.kind), length, *self.headers, *more]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def too_large(most: int) -> BadRequestError:
    """Return the complaint about a body of more than `most` bytes."""
    return BadRequestError(f"The body is larger than {most} bytes; send less history, or fewer requests.", status=413)
