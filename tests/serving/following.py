"""A store with a pointer log and a server that follows it step by step, in process, by a clock of its own."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from components.store import Store
from serving.follow import Follower, StoreSource
from serving.http import Api
from serving.live import not_ready
from serving.metrics import Metrics
from serving.observe import Observer
from serving.registry import PointerLog, Slot
from serving.settings import ServiceSettings
from serving.slots import Server, Slots
from tests.serving.bundles import (
    SCORE_CODEC,
    score_model,
    score_reference,
    sigmoid,
    write_bundle,
)
from tests.serving.releasing import APPLICATION


class Bench:
    """A store with a log, and a server that follows it one step at a time by a clock of its own."""

    def __init__(self, store: Store, settings: ServiceSettings, status: Path) -> None:
        self.store = store
        self.log = PointerLog(store, APPLICATION)
        self.settings = settings
        self.now = 0.0
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.observer = Observer(self.metrics)
        self.server = Server(Slots(champion=not_ready(settings, "not read yet")))
        self.server.status_folder = status
        status.mkdir()
        self.follower = self.follow(StoreSource(settings))

    def follow(self, source: Any) -> Follower:
        return Follower(self.server, source, self.metrics, keep_s=100.0, drain_s=10.0, clock=lambda: self.now)

    def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.follower.step()

    @property
    def release(self) -> str | None:
        bundle = self.server.live.bundle
        return bundle.version if bundle is not None else None

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def ask(self, value: Any, path: str = "/predict", **headers: str) -> httpx.Response:
        return self.talk(lambda client: client.post(path, json=value, headers=headers))

    def get(self, path: str) -> httpx.Response:
        return self.talk(lambda client: client.get(path))

    def talk(self, act: Callable[[httpx.AsyncClient], Any]) -> httpx.Response:
        app = Api(self.server, self.observer)

        async def run() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                response: httpx.Response = await act(client)
            await asyncio.sleep(0)  # what is observed is so after the answer
            return response

        return asyncio.run(run())


def probability(response: httpx.Response) -> float:
    return float(response.json()["answer"]["predictions"][0]["probability"])


def shifted_probability(steps: int) -> float:
    return sigmoid(0.5 * steps + 0.1 * 3 - 0.05 * 3 + 1.0)


def scores(folder: Path) -> str:
    """Write a release of the same application with another codec: other requests, other answers."""
    return write_bundle(
        folder,
        codec_file=SCORE_CODEC,
        vocabulary={"most": 20},
        model=score_model(),
        reference=score_reference,
    )


def changed(name: str, body: bytes | None) -> Callable[[Bench, Slot], None]:
    """Return what changes or removes a file of a release in the store."""

    def act(bench: Bench, slot: Slot) -> None:
        root = bench.store.local_root
        assert root is not None
        path = root / "artifacts" / slot.artifact / name
        if body is None:
            path.unlink()
        else:
            path.write_bytes(body)

    return act


def wait_for(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
