"""What each route asks for: which roles, of whom, and what it is called in a log."""

from collections.abc import Mapping

HEALTH = frozenset({"/livez", "/readyz", "/healthz"})
"""For whoever starts and watches processes: no key, no limit, nothing said but yes or no."""
SESSION = "/session"
PAGES = frozenset({"/", "/api", "/card"})
"""What a person opens: without a key these answer with the sign-in page."""
STATIC = ("/page/", "/static_content/")
"""Code of the pages, the same for everybody."""
LOCAL = frozenset({"/metrics", "/v1/version"})
"""Counts and versions: also for whoever asks from this very machine, as a collector of metrics does."""
ROLES_OF: Mapping[str, tuple[str, ...]] = {
    "/v1/predict": ("grade",),
    "/v1/predict/batch": ("grade",),
    "/v1/overrides": ("override",),
    "/v1/version": ("read",),
    "/v1/card": ("read",),
    "/v1/grading": ("read",),
    "/v1/openapi.json": ("read",),
    "/metrics": ("read",),
    "/docs.json": ("read",),
    "/schema.json": ("read",),
    "/": ("read",),
    "/api": ("read",),
    "/card": ("read",),
}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def roles_for(path: str, method: str) -> tuple[str, ...]:
    """Return the roles that a request needs, all of them. What is not listed needs more, not less."""
    found = ROLES_OF.get(path)
    if found is not None:
        return found
    return ("read",) if method in SAFE else ("grade", "override", "approve")


def is_open(path: str) -> bool:
    """Return whether anybody may ask for a path."""
    return path in HEALTH or path == SESSION or path.startswith(STATIC)


def template_of(path: str) -> str:
    """Return what a route is called in a log: never a part of a path that a client chose."""
    if path in ROLES_OF or path in HEALTH or path == SESSION:
        return path
    return next((f"{start}{{name}}" for start in STATIC if path.startswith(start)), "(unknown)")
