"""The door of the service: who asks, whether they may, how often, and in what form; pure ASGI, no request is built.

In order: the host's name, the content type, the key, token or session, the district, the rate, the role. What is
refused here is never read.
"""

import logging
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from serving.access.clients import EVERYBODY, Client
from serving.access.hosts import Hosts, is_beyond, is_from_here
from serving.access.limits import Limiter
from serving.access.refusals import (
    NOT_OPEN,
    OTHER_DISTRICT,
    OTHER_SITE,
    WRONG_HOST,
    WRONG_TYPE,
    Refusal,
    forbidden,
    refuse,
    too_many,
    unauthorized,
)
from serving.access.requestlog import RequestLog
from serving.access.ring import KeyRing
from serving.access.rules import HEALTH, LOCAL, PAGES, SAFE, SESSION, is_open, roles_for
from serving.access.sessions import Sessions
from serving.access.signin import answer_session, is_same_origin, show_sign_in
from serving.asgi import App, Receive, Scope, Send
from serving.errors import AccessFileError
from serving.metrics import process_metrics
from serving.settings import ServiceSettings

log = logging.getLogger("homeroom.access")
JSON = b"application/json"
OF_INTEREST = frozenset(
    {b"host", b"content-type", b"authorization", b"cookie", b"origin", b"sec-fetch-site", b"accept"}
)


class Access:
    """Middleware around the whole service. Settings are read when it is made, which is when the service starts.

    Args:
        app: the service.
        settings: gives the settings.
    """

    def __init__(self, app: App, settings: Callable[[], ServiceSettings] = ServiceSettings) -> None:
        self._app = app
        self._locked: Refusal | None = None
        self._ring: KeyRing | None = None
        try:
            chosen = settings()
            self._ring = None if chosen.serve_keys is None else KeyRing(chosen.serve_keys)
        except (ValidationError, AccessFileError) as error:
            told = str(error) if isinstance(error, AccessFileError) else "a setting cannot be read"
            log.error("Nobody is let in: %s", told)
            self._locked = Refusal(503, "This server lets nobody in; its log says why.", ((b"retry-after", b"10"),))
            chosen = ServiceSettings.model_construct()
        self._hosts = Hosts(chosen.serve_hosts.split(","))
        self._is_open = chosen.serve_open
        self._district = chosen.serve_district
        self._limiter = Limiter(chosen.serve_limits)
        secret = None if chosen.serve_session_key is None else chosen.serve_session_key.get_secret_value().encode()
        self._sessions = None if self._ring is None else Sessions(self._ring, secret)
        self._log = None if chosen.serve_request_log == "off" else RequestLog(chosen.serve_request_log)
        self._beyond: dict[str, bool] = {}
        if self._is_open and self._ring is None:
            log.warning("This server is open: whoever reaches it may grade and override (HOMEROOM_SERVE_OPEN)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its client in `scope["state"]`, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if self._log is not None:
            receive, send = self._log.around(scope, receive, send)
        verdict = self._verdict(scope)
        if isinstance(verdict, Client):
            scope.setdefault("state", {})["client"] = verdict
            await self._app(scope, receive, send)
        elif isinstance(verdict, Refusal):
            process_metrics().refusal(verdict.status)
            await refuse(send, verdict)
        elif verdict == "session":
            await answer_session(scope, receive, send, self._ring, self._sessions)
        else:
            await show_sign_in(send)

    def _verdict(self, scope: Scope) -> Client | Refusal | str:
        """Return who asks, why not, or the name of the page of ours that answers."""
        path, method = scope["path"], scope["method"]
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in OF_INTEREST:
                if name == b"content-type" and value.partition(b";")[0].strip().lower() != JSON:
                    return WRONG_TYPE
                if name in headers and name != b"accept":
                    return Refusal(400, "A header that may be there once is there twice; send one.")
                headers[name] = value
        if path in HEALTH:
            return self._locked if self._locked is not None and path == "/readyz" else EVERYBODY
        server = scope.get("server")
        address = server[0] if server else ""
        if not self._hosts.allows(headers.get(b"host", b"").decode("latin-1"), address):
            return WRONG_HOST
        if self._locked is not None:
            return EVERYBODY if path == "/v1/version" and is_from_here(scope) else self._locked
        if self._ring is None and not self._is_open and self._is_beyond(address):
            return NOT_OPEN
        if path == SESSION:
            return "session"
        if self._ring is None or is_open(path):
            return EVERYBODY
        return self._known(scope, path, method, headers)

    def _known(self, scope: Scope, path: str, method: str, headers: dict[bytes, bytes]) -> Client | Refusal | str:
        """Return the client that the headers show, or why it may not ask this."""
        assert self._ring is not None
        assert self._sessions is not None
        given, cookies = headers.get(b"authorization"), headers.get(b"cookie")
        client: Client | None = None
        if given is not None:
            scheme, _, credential = given.decode("latin-1").partition(" ")
            client = self._ring.client_of(credential.strip()) if scheme.lower() == "bearer" else None
        elif cookies is not None:
            key = self._sessions.key_of(cookies.decode("latin-1"), secure=scope.get("scheme") == "https")
            client = None if key is None else key.client
            if client is not None and method not in SAFE and not is_same_origin(scope, headers):
                return OTHER_SITE
        if client is None:
            if given is None and path in LOCAL and is_from_here(scope):
                return EVERYBODY
            if given is None and path in PAGES and method in SAFE and b"text/html" in headers.get(b"accept", b""):
                return "sign-in"
            return unauthorized(is_wrong=given is not None)
        scope.setdefault("state", {})["client"] = client
        if self._district is not None and client.district != self._district:
            return OTHER_DISTRICT
        wait = self._limiter.wait_s(client)
        if wait:
            return too_many(wait, client.rate, client.burst)
        needed = roles_for(path, method)
        missing = tuple(role for role in needed if role not in client.roles)
        return forbidden(missing) if missing else client

    def _is_beyond(self, address: str) -> bool:
        found = self._beyond.get(address)
        if found is None:
            if len(self._beyond) > 100:
                self._beyond.clear()
            found = self._beyond[address] = is_beyond(address)
        return found


def add_access(service: Any, settings: Callable[[], ServiceSettings]) -> None:  # Any: bentoml ships no types
    """Put the door before a BentoML service: before its own routes as well as ours."""
    service.add_asgi_middleware(Access, settings=settings)
