"""The BentoML service: what it is made of, and that importing it reads nothing."""

import asyncio
from pathlib import Path

import httpx
import pytest
import uvicorn

from serving.protocol import Protocol
from serving.settings import ServiceSettings

# Both come from inside bentoml 1.4.39 (pathspec 1.0 and pydantic 2.11 deprecate what it uses), once, at its import.
pytestmark = [
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The `__get_pydantic_core_schema__`:DeprecationWarning"),
]


def test_no_request_leaves_a_timer_behind(tracing_folder: Path) -> None:
    from serving.service import make_service

    app = make_service(lambda: ServiceSettings(release=tracing_folder)).to_asgi()
    names = {m.cls.__name__ for m in app.user_middleware}
    assert "TimeoutMiddleware" not in names
    assert "RunnerTrafficMetricsMiddleware" not in names, "its labels grow with every path that is asked for"
    assert "AccessLogMiddleware" not in names


def test_settings_are_read_at_start_and_a_wrong_one_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from serving.service import make_service

    service = make_service()
    monkeypatch.setenv("HOMEROOM_SERVE_ROWS", "a secret value")
    app = service.to_asgi()

    async def ask() -> list[httpx.Response]:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return [await client.get("/readyz"), await client.get("/v1/version")]

    ready, said = asyncio.run(ask())
    assert ready.status_code == 503
    assert said.json()["reason"].startswith("HOMEROOM_SERVE_ROWS cannot be read")
    assert "secret" not in said.text


def test_http_is_read_by_our_protocol(tracing_folder: Path) -> None:
    from serving.service import make_service

    app = make_service(lambda: ServiceSettings(release=tracing_folder)).to_asgi()
    config = uvicorn.Config(app, log_config=None)  # as BentoML's worker does, which leaves the choice to uvicorn
    config.load()
    assert config.http_protocol_class is Protocol
