"""One line for a request, without content: what was asked for and how it went, never what was said.

    {"at": "2027-01-31T12:00:00.123+00:00", "method": "POST", "route": "/v1/predict", "status": 200, "ms": 3.2,
     "release": "...", "client": "school-7", "bytes_in": 512}

No body, no query, no header's value, no address, no id of a student: the route is one of a fixed list, the client's
name is one that whoever runs the server gave.
"""

import json
import logging
import time
from datetime import UTC, datetime
from typing import Literal

from serving.access.rules import METHODS, template_of
from serving.asgi import Message, Receive, Scope, Send

log = logging.getLogger("homeroom.requests")
RELEASE = b"x-homeroom-release"
FAILED = 400


class RequestLog:
    """Writes the lines.

    Args:
        which: `all` requests, or `failures`: those with a status of 400 or above.
    """

    def __init__(self, which: Literal["all", "failures"]) -> None:
        self._least = FAILED if which == "failures" else 0

    def around(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Return `receive` and `send` that count what passes, and write the line when the answer is complete."""
        began = time.perf_counter()
        size, status, release = 0, 0, ""

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message

        async def watched(message: Message) -> None:
            nonlocal status, release
            if message["type"] == "http.response.start":
                status = message["status"]
                release = next((value.decode() for name, value in message["headers"] if name == RELEASE), "")
            await send(message)
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_last and status >= self._least:
                self._write(scope, status, release, size, time.perf_counter() - began)

        return counted, watched

    def _write(self, scope: Scope, status: int, release: str, size: int, seconds: float) -> None:
        client = scope.get("state", {}).get("client")
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": scope["method"] if scope["method"] in METHODS else "(other)",
            "route": template_of(scope["path"]),
            "status": status,
            "ms": round(seconds * 1000, 2),
            "release": release or None,
            "client": None if client is None else client.id,
            "bytes_in": size,
        }
        log.info("%s", json.dumps(line))
