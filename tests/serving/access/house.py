"""The whole service in this process, BentoML's routes and the door included, asked as over the network."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from serving.access.clients import Client
from serving.access.file import edited
from serving.access.keys import new_key, now_utc
from serving.settings import ServiceSettings

ELSEWHERE = "10.1.2.3"
"""An address of another machine."""
KINDS = ("grade", "override", "approve", "read")


def make_key(
    path: Path, client: str, *roles: str, lifetime: timedelta | None = None, age: timedelta | None = None, **more: Any
) -> str:
    """Write a key into a file of access keys and return it."""
    owner = Client(id=client, roles=frozenset(roles or KINDS), **more)
    key, record = new_key(owner, now_utc() - (age or timedelta(0)), lifetime)
    with edited(path) as stored:
        stored.append(record)
    return key


class House:
    """A service that has started."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self.app = app
        self._runner = runner

    def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        value: Any = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str | bytes]] | None = None,
        client: str = ELSEWHERE,
        server: str = "http://127.0.0.1:3000",
        body: bytes | None = None,
    ) -> httpx.Response:
        """Ask with a key, a JSON value or raw body, from an address."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers or []
        given = [(name.encode(), text.encode() if isinstance(text, str) else text) for name, text in pairs]
        if key is not None:
            given.append((b"authorization", f"Bearer {key}".encode()))
        if value is not None:
            body = json.dumps(value).encode()
            given.append((b"content-type", b"application/json"))

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(client, 5), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=server) as asking:
                return await asking.request(method, path, content=body, headers=given)

        return self._runner.run(send())

    def run(self, talk: Callable[[], Any]) -> Any:
        """Run a coroutine function in the service's loop."""
        return self._runner.run(talk())


@contextmanager
def open_house(settings: ServiceSettings | Callable[[], ServiceSettings]) -> Iterator[House]:
    """Start the service in this process."""
    from serving.service import make_service

    app = make_service(settings if callable(settings) else lambda: settings).to_asgi()
    # BentoML's metrics can be set up once in a process; tests/serving/access/test_server.py has them.
    app.user_middleware = [one for one in app.user_middleware if one.cls.__name__ != "RunnerTrafficMetricsMiddleware"]
    with asyncio.Runner() as runner:
        life = app.router.lifespan_context(app)
        runner.run(life.__aenter__())
        try:
            yield House(app, runner)
        finally:
            runner.run(life.__aexit__(None, None, None))
