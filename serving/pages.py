"""Pages for people: the teacher's page of a grading release, the model card and the API page of every release.

Files of our own, served by the service itself; the policy has the browser refuse whatever comes from elsewhere.
"""

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from components.app import GradingCodec
from components.errors import StoreError
from serving.live import Live

FOLDER = Path(__file__).resolve().parent / "page"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
START = "teacher.html"

TEACHER_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No inline script or style, nothing from elsewhere, and no text that becomes markup."""
# BentoML's own page loads Google's tag manager into the reader's browser; this one loads nothing from elsewhere.
API_PAGE = """<!DOCTYPE html>
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
API_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Has the browser itself refuse whatever a text on the page would load from another host."""
CARD_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CARD = "card.html"
COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


def page_routes(live: Callable[[], Live | None]) -> list[Route]:
    """Return the routes of the pages: `/`, `/card`, `/api` and the files below `/page/`.

    Args:
        live: gives the state of the server once it has started; a release whose codec is a `GradingCodec` has the
            teacher's page at `/`, every other the API page.
    """
    files = {
        path.name: (path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in sorted(FOLDER.iterdir())
        if path.suffix in MEDIA_TYPES
    }
    start = (FOLDER / START).read_text(encoding="utf-8")

    async def first(request: Request) -> Response:
        now = live()
        if now is not None and now.bundle is not None and isinstance(now.bundle.codec, GradingCodec):
            return HTMLResponse(start, headers={**COMMON, "content-security-policy": TEACHER_POLICY})
        return await api(request)

    async def api(request: Request) -> Response:
        return HTMLResponse(API_PAGE, headers={**COMMON, "content-security-policy": API_POLICY})

    async def card(request: Request) -> Response:
        now = live()
        if now is None or now.bundle is None or not now.bundle.manifest.has(CARD):
            text = "This release has no model card as a page; GET /v1/card returns it as text."
            return Response(text, status_code=404, media_type="text/plain", headers=COMMON)
        try:
            page = now.bundle.manifest.read(CARD).decode()
        except StoreError:  # it was changed or went away since the server started
            return Response(
                "The card is not what was released.", status_code=503, media_type="text/plain", headers=COMMON
            )
        return HTMLResponse(page, headers={**COMMON, "content-security-policy": CARD_POLICY})

    async def file(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None:
            return Response("There is no such file.", status_code=404, media_type="text/plain", headers=COMMON)
        body, kind = found
        return Response(body, media_type=kind, headers=COMMON)

    return [Route("/", first), Route("/card", card), Route("/api", api), Route("/page/{name}", file)]
