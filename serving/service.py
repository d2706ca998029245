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
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from serving.http import add_routes
from serving.live import start_live
from serving.openapi import describe
from serving.settings import ServiceSettings

# BentoML's own page loads Google's tag manager into the reader's browser; this one loads nothing from elsewhere.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>homeroom</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="./static_content/swagger-ui-bundle.js"></script>
<script src="./static_content/swagger-ui-standalone-preset.js"></script>
<script>
window.onload = () => SwaggerUIBundle({
  url: "./docs.json", dom_id: "#swagger-ui", validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
});
</script></body></html>
"""
PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Has the browser itself refuse whatever a text on the page would load from another host."""
DESCRIPTION = "Answers with one homeroom release. Nothing of a request is kept or logged."
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
            components=spec.components,
            paths=spec.paths,
        )


def make_service(settings: Callable[[], ServiceSettings] = ServiceSettings) -> Any:  # Any: bentoml ships no types
    """Return a BentoML service.

    Args:
        settings: gives the settings, and is called when the service starts; the default reads the environment.
    """
    app = FastAPI(docs_url=None, redoc_url=None)
    describe(app, None)  # until the release is loaded

    class Homeroom:
        """Answers with one release."""

        def __init__(self) -> None:
            _show_our_log()
            self.live = start_live(settings)
            add_routes(app, self.live)
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
    service.mount_asgi_app(app, path="/v1", name=NAME)
    service.mount_asgi_app(Starlette(routes=[Route("/", _page)]), path="/", name="page")  # before BentoML's own
    return service


async def _page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"content-security-policy": PAGE_POLICY})


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
