"""What the OpenAPI page says about keys: the ways to show one, the role that each route needs, and the refusals."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from serving.access.rules import ROLES_OF

SCHEMES: dict[str, Any] = {  # Any: plain JSON of OpenAPI
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`hr_...`), or a token (JWT) of an issuer that this server knows.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "homeroom-session",
        "description": "What a person has who signed in on the page; over TLS it is named `__Host-homeroom-session`.",
    },
}
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"session": []}]
_TEXT = {"schema": {"type": "string"}}
_FAILURE = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}


def document_access(app: FastAPI, prefix: str = "/v1") -> None:
    """Have the OpenAPI page of `app` show security schemes, roles and refusals. Call it after its routes are added.

    Args:
        app: is mounted at `prefix`.
        prefix: see above.
    """
    for route in app.routes:
        if isinstance(route, APIRoute) and prefix + route.path in ROLES_OF:
            roles = ROLES_OF[prefix + route.path]
            named = ", ".join(f"`{role}`" for role in roles)
            route.openapi_extra = {
                **(route.openapi_extra or {}),
                "security": SECURITY,
                "x-homeroom-roles": list(roles),
                "responses": {
                    "401": _refusal("No key, or one that does not count.", "www-authenticate"),
                    "403": _refusal(f"The key has not the role that this needs: {named}.", "www-authenticate"),
                    "415": _refusal("The content-type is another than application/json."),
                    "429": _refusal("The client asks more than it may.", "retry-after"),
                },
            }

    def described() -> dict[str, Any]:  # Any: plain JSON of OpenAPI
        page = FastAPI.openapi(app)
        page.setdefault("components", {})["securitySchemes"] = SCHEMES
        return page

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to extend the page


def _refusal(description: str, *headers: str) -> dict[str, Any]:  # Any: plain JSON of OpenAPI
    shown = dict.fromkeys(headers, _TEXT)
    return {"description": description, "content": _FAILURE, **({"headers": shown} if shown else {})}
