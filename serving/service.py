"""The BentoML service: life cycle, health and metrics are BentoML's; `/v1` is ours, mounted as one ASGI application.

    HOMEROOM_RELEASE=<folder> bentoml serve serving.service:Service

Nothing is read at import: the release is loaded when the service starts.
"""

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any

import bentoml
from _bentoml_sdk import Service as BentoService
from fastapi import FastAPI
from starlette.applications import Starlette

from serving.access.documented import SCHEMES, document_access
from serving.access.middleware import add_access
from serving.http import add_routes
from serving.live import Live, start_live
from serving.openapi import describe
from serving.pages import page_routes
from serving.settings import ServiceSettings

DESCRIPTION = "Answers with one homeroom release. Nothing of a request is logged, nor kept but overrides."
NAME = "homeroom"


class HomeroomService(BentoService):  # type: ignore[misc]  # bentoml ships no types
    """A service that describes its release instead of BentoML, and has none of BentoML's time-outs.

    For its time-out every request leaves a timer behind for a minute. Under load these are tens of thousands of
    objects that every full garbage collection walks through: 0.3 ms of CPU time per request and stalls of 0.2 s
    (bentoml 1.4.39, benchmarks/serve.py). Our own limits end every request.
    """

    def to_asgi(self, is_main: bool = True) -> Any:  # Any: an ASGI application
        """Return the application that BentoML made, less that one middleware."""
        app = super().to_asgi(is_main)
        app.user_middleware = [m for m in app.user_middleware if m.cls.__name__ != "TimeoutMiddleware"]
        return app

    @property
    def openapi_spec(self) -> Any:  # Any: as above
        """Return BentoML's specification of all routes under the release's own title, version and description."""
        spec = super().openapi_spec
        app = next(app for app, _, _ in self.mount_apps if isinstance(app, FastAPI))
        used = {tag for path in spec.asdict()["paths"].values() for way in path.values() for tag in way.get("tags", [])}
        return type(spec)(
            openapi=spec.openapi,
            info=type(spec.info)(title=app.title, version=app.version, description=app.description),
            servers=spec.servers,
            tags=[tag for tag in spec.tags if tag.name in used],
            components={**spec.components, "securitySchemes": SCHEMES},
            paths=spec.paths,
        )


def make_service(settings: Callable[[], ServiceSettings] = ServiceSettings) -> Any:  # Any: bentoml ships no types
    """Return a BentoML service.

    Args:
        settings: gives the settings, and is called when the service starts; the default reads the environment.
    """
    app = FastAPI(docs_url=None, redoc_url=None)
    describe(app, None)  # until the release is loaded
    started: list[Live] = []

    class Homeroom:
        """Answers with one release."""

        def __init__(self) -> None:
            _show_our_log()
            self.live = start_live(settings)
            started[:] = [self.live]
            add_routes(app, self.live)
            document_access(app)
            gc.collect()
            gc.freeze()  # what was made so far stays for good: full collections need not walk through it

        async def __is_ready__(self) -> bool:
            """Tell BentoML's `/readyz`: 200 once the golden answers were given, 503 otherwise."""
            return self.live.is_ready

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # bentoml ships no types
        async def drain(self) -> None:
            """Answer what is waiting before the process ends."""
            await asyncio.to_thread(self.live.close)

    service = bentoml.service(
        name=NAME, description=DESCRIPTION, logging={"access": {"enabled": False}}, service_class=HomeroomService
    )(Homeroom)
    add_access(service, settings)
    service.mount_asgi_app(app, path="/v1", name=NAME)
    pages = Starlette(routes=page_routes(lambda: started[0] if started else None))
    service.mount_asgi_app(pages, path="/", name="page")  # before BentoML's own
    return service


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
