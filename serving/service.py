"""The BentoML service: life cycle, health and metrics are BentoML's; `/v1` is ours, mounted as one ASGI application.

    HOMEROOM_RELEASE=<folder> bentoml serve serving.service:Service
    HOMEROOM_SERVE_STORE=<store> HOMEROOM_SERVE_APPLICATION=<name> bentoml serve serving.service:Service

The first serves one release, the second whatever the pointer log names. Nothing is read at import but the number of
workers, which BentoML wants to know then; releases are loaded when the service starts.
"""

import asyncio
import gc
import json
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import bentoml
from _bentoml_sdk import Service as BentoService
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.access.hosts import is_from_here
from serving.access.middleware import add_access
from serving.asgi import Receive, Scope, Send
from serving.http import Api
from serving.live import Live, go_live, not_ready, read_settings
from serving.metrics import process_metrics
from serving.openapi import HOT_PATH, ReadyInfo, document
from serving.pages import page_routes
from serving.protocol import read_http_so
from serving.settings import ServiceSettings
from serving.slots import Server, Slots
from serving.status import Reporter

DESCRIPTION = "Answers with a homeroom release. Nothing of a request is logged, nor kept but overrides."
NAME = "homeroom"
WORKERS = "HOMEROOM_SERVE_WORKERS"
LEFT_OUT = frozenset(
    {"TimeoutMiddleware", "RunnerTrafficMetricsMiddleware", "OpenTelemetryMiddleware", "ContextMiddleware"}
)
"""What BentoML puts around every request, and we do without.

The time-out leaves a timer behind for a minute: under load these are tens of thousands of objects that every full
garbage collection walks through, 0.3 ms of CPU time per request and stalls of 0.2 s (bentoml 1.4.39,
benchmarks/serve.py). Our own limits end every request. The metrics label by the path as it was sent, so that anybody
can fill the memory with paths; ours (`serving.metrics`) are shown at the same place. Traces go nowhere by default and
cost all the same. The context is for methods of BentoML's `@api`, of which there are none.
"""
JSON = "application/json"


class HomeroomService(BentoService):  # type: ignore[misc]  # bentoml ships no types
    """A service that describes its release instead of BentoML, without what BentoML puts around every request."""

    homeroom: Callable[[], Server]
    """Gives the state of this process once it has started."""

    def to_asgi(self, is_main: bool = True) -> Any:  # Any: an ASGI application
        """Return the application that BentoML made, less `LEFT_OUT`, with readiness and API document of our own."""
        read_http_so()  # uvicorn asks once the application is made
        app = super().to_asgi(is_main)
        app.user_middleware = [m for m in app.user_middleware if m.cls.__name__ not in LEFT_OUT]
        ours = {"/readyz": self._ready, "/docs.json": self._docs}
        routes = [
            Route(path, ours[path]) if (path := getattr(route, "path", "")) in ours else route
            for route in app.router.routes
        ]
        # They are tried in order, and nearly every request is for `/v1`.
        app.router.routes[:] = sorted(routes, key=lambda route: getattr(route, "path", "") != HOT_PATH)
        return app

    async def _ready(self, request: Request) -> Response:
        server = self.homeroom()
        bundle = server.live.bundle
        told = ReadyInfo(
            ready=server.live.is_ready,
            release=bundle.version if bundle is not None else None,
            reason=server.live.reason,
            behind=server.behind,
        )
        if not is_from_here(request.scope):  # this asks for no key, and reasons name files and stores
            hidden = "GET /v1/version says why."
            told = ReadyInfo(
                ready=told.ready, release=None, reason=told.reason and hidden, behind=told.behind and hidden
            )
        return Response(told.model_dump_json(), status_code=200 if told.ready else 503, media_type=JSON)

    async def _docs(self, request: Request) -> Response:
        spec = document(self.homeroom().live.bundle, HOT_PATH, whole=True)
        return Response(json.dumps({**spec, "servers": [{"url": "."}]}), media_type=JSON)


def make_service(settings: Callable[[], ServiceSettings] = ServiceSettings) -> Any:  # Any: bentoml ships no types
    """Return a BentoML service.

    Args:
        settings: gives the settings, and is called when the service starts; the default reads the environment.
    """
    started: list[Api] = []

    def api(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return started[0](scope, receive, send)

    class Homeroom:
        """Answers with what its slots hold."""

        def __init__(self) -> None:
            _show_our_log()
            self.server, self.ending = _started(settings)
            started[:] = [Api(self.server)]
            gc.collect()
            gc.freeze()  # what was made so far stays for good: full collections need not walk through it

        async def __is_ready__(self) -> bool:
            """Tell BentoML whether there is a release that gave its golden answers."""
            return self.server.live.is_ready

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # bentoml ships no types
        async def drain(self) -> None:
            """Answer what is waiting before the process ends."""

            def end() -> None:
                for close in self.ending:
                    close()
                self.server.close()

            await asyncio.to_thread(end)

    service = bentoml.service(
        name=NAME,
        description=DESCRIPTION,
        workers=_workers(),
        logging={"access": {"enabled": False}},
        service_class=HomeroomService,
    )(Homeroom)
    service.homeroom = lambda: started[0].server
    add_access(service, settings)
    service.mount_asgi_app(api, path=HOT_PATH, name=NAME)
    pages = Starlette(routes=page_routes(lambda: started[0].server.live if started else None))
    service.mount_asgi_app(pages, path="/", name="page")  # before BentoML's own
    return service


def _started(settings: Callable[[], ServiceSettings]) -> tuple[Server, list[Callable[[], None]]]:
    """Return what this process answers with, and what ends its threads."""
    chosen = read_settings(settings)
    metrics = process_metrics()
    if isinstance(chosen, Live):
        return Server(Slots(champion=chosen)), []
    ending: list[Callable[[], None]] = []
    if chosen.serve_store is None or chosen.release is not None:
        server = Server(Slots(champion=go_live(chosen)))
        server.status_folder = chosen.serve_status
    else:
        from serving.follow import Follower, StoreSource  # late: a fixed release needs no store

        server = Server(Slots(champion=not_ready(chosen, "The pointer log has not been read yet.")))
        server.status_folder = chosen.serve_status
        if chosen.serve_status is not None:
            chosen.serve_status.mkdir(parents=True, exist_ok=True, mode=0o700)
        follower = Follower(
            server,
            StoreSource(chosen),
            metrics,
            keep_s=chosen.serve_keep_s,
            drain_s=2 * chosen.serve_timeout_s + 5,
        )
        follower.start(chosen.serve_poll_s)
        ending.append(follower.close)
    reporter = Reporter(server, metrics)
    reporter.start()
    return server, [*ending, reporter.close]


def _workers() -> int:
    """Return the number of worker processes; a value that is none is told by the settings when the service starts."""
    text = os.environ.get(WORKERS, "1")
    return int(text) if text.isdecimal() and len(text) < 4 and int(text) > 0 else 1


def _show_our_log() -> None:
    """Let our log through, which BentoML holds back below WARNING; where the user has set it up, that stays."""
    ours = logging.getLogger(NAME)
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)
    if not ours.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        ours.addHandler(handler)


Service = make_service()
