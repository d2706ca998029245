"""Live signals of a service: counted off the answer's way, in the reference's bins, shown in status and metrics."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import prometheus_client
import pytest

from components.app import MonitoredCodec
from components.monitoring.counts import group_of
from components.monitoring.reference import Reference, reference_of
from components.monitoring.signals import signals_of
from components.monitoring.windows import DriftLimits, Window
from flows.watching.service import write_quality, write_watcher
from flows.watching.watcher import Watcher
from serving.bundle import load_bundle
from serving.canary import HEADER
from serving.http import Api
from serving.live import Live, go_live
from serving.metrics import Metrics
from serving.monitor_metrics import LAST_WATCH
from serving.observe import Observer
from serving.settings import ServiceSettings
from serving.slots import Server, Slots
from serving.status import Reporter, WorkerStatus, read_statuses
from tests.serving.bundles import probability_of, request_of, write_bundle, write_score_bundle

NAMES = ("probability", "history", "right_in_history", "new_in_history", "new_candidates")


def reference() -> Reference:
    """Return a reference whose signals are spread evenly over [0, 1], of 500 students."""
    one = reference_of(np.linspace(0.0, 1.0, 500), np.arange(500))
    assert one is not None
    return Reference(split="test", requests=500, students=500, signals=dict.fromkeys(NAMES, one))


@pytest.fixture
def live(tmp_path: Path) -> Live:
    body = json.dumps(reference().to_json()).encode()
    write_bundle(tmp_path / "bundle", extra={"reference.json": body})
    found = go_live(ServiceSettings(), tmp_path / "bundle")
    assert found.is_ready, found.reason
    return found


def asked(live: Live, bodies: list[tuple[str, Any, str | None]]) -> tuple[Server, Metrics, Any]:
    """Post bodies to a path, each with the pseudonym, and return what was counted."""
    registry = prometheus_client.CollectorRegistry()
    metrics = Metrics(registry)
    server = Server(Slots(champion=live))
    app = Api(server, Observer(metrics))

    async def ask() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            for path, body, student in bodies:
                headers = {HEADER: student} if student is not None else {}
                response = await client.post(path, json=body, headers=headers)
                assert response.status_code in {200, 400}
            await asyncio.sleep(0)

    asyncio.run(ask())
    return server, metrics, registry


def test_an_answer_is_counted_by_its_signals_and_its_students_group(live: Live) -> None:
    bodies = [("/predict", request_of(4, correct=1.0), "s-1"), ("/predict", request_of(0), None)]
    asked(live, [*bodies, ("/predict", {"wrong": 1}, "s-1")])
    counts = live.tally.signals
    assert live.bundle is not None
    group = group_of("s-1", live.bundle.version)
    probability = counts["probability"]
    assert probability.count == 2
    assert probability.named == 1
    assert math.fsum(probability.sums) == pytest.approx(probability_of(4) + probability_of(0))
    assert probability.sums[group] == pytest.approx(probability_of(4) + (probability_of(0) if group == 0 else 0.0))
    assert counts["history"].mean == 2.0
    assert (counts["right_in_history"].count, counts["right_in_history"].mean) == (1, 1.0)  # the other has none
    assert counts["new_in_history"].mean == counts["new_candidates"].mean == 0.0
    edges = reference().signals["probability"].edges
    assert sum(probability.bins[: 1 + sum(edge < probability_of(4) for edge in edges)]) == 2


def test_each_of_a_list_is_counted_and_new_items_are_seen(live: Live) -> None:
    new = {"history": [{"correct": 0.0, "item": "x", "skills": ["add"]}], "candidates": [{"item": "y", "skills": []}]}
    asked(live, [("/predict/batch", [request_of(3), new, {"wrong": 1}], "s-2")])
    counts = live.tally.signals
    assert counts["history"].count == 2
    assert counts["new_candidates"].mean == counts["new_in_history"].mean == 0.5
    assert counts["right_in_history"].mean == 0.5


def test_status_and_metrics_show_counts_and_no_pseudonym(live: Live, tmp_path: Path) -> None:
    server, metrics, registry = asked(live, [("/predict", request_of(4), "a-pseudonym")] * 3)
    server.status_folder = tmp_path / "status"
    server.status_folder.mkdir()
    reporter = Reporter(server, metrics)
    reporter.report()
    reporter.report()  # the same counts add nothing
    body = next((tmp_path / "status").glob("*.json")).read_text()
    assert "pseudonym" not in body
    (status,) = read_statuses(tmp_path / "status")
    assert live.bundle is not None
    version = live.bundle.version
    assert status.releases[version].signals == live.tally.signals
    text = prometheus_client.generate_latest(registry).decode()
    assert "a-pseudonym" not in text
    values = [line for line in text.splitlines() if line.startswith("homeroom_signal_values_total{")]
    own = [line for line in values if f'release="{version}",signal="probability"' in line]
    assert sum(float(line.rpartition(" ")[2]) for line in own) == 3.0
    assert len(own) == len(reference().signals["probability"].counts)
    shares = [line for line in text.splitlines() if line.startswith("homeroom_signal_reference_share{")]
    total = sum(float(line.rpartition(" ")[2]) for line in shares if 'signal="history"' in line)
    assert total == pytest.approx(1.0)


def test_what_the_watch_said_is_shown_and_what_it_did_not_say_is_not(live: Live, tmp_path: Path) -> None:
    registry = prometheus_client.CollectorRegistry()
    metrics = Metrics(registry)
    for body in ("", "{", json.dumps({"release": "r", "shown": {"a": {}}})):
        (tmp_path / LAST_WATCH).write_text(body)
        metrics.monitoring.watched(tmp_path)
    metrics.monitoring.watched(None)
    assert registry.get_sample_value("homeroom_drift_effect", {"release": "r", "signal": "a"}) in {None, 0.0}
    said = {"effect": -0.4, "threshold": 0.2, "index": 0.1, "alarm": 1.0, "windows": 3.0}
    quality = {"r": {"qwk": {"value": 0.7, "n": 40}}}
    (tmp_path / LAST_WATCH).write_text(json.dumps({"release": "r", "shown": {"a": said}, "quality": quality}))
    metrics.monitoring.watched(tmp_path)
    found = {
        name: registry.get_sample_value(f"homeroom_drift_{name}", {"release": "r", "signal": "a"}) for name in said
    }
    assert found == said
    assert registry.get_sample_value("homeroom_live_quality", {"release": "r", "metric": "qwk"}) == 0.7
    assert registry.get_sample_value("homeroom_live_quality_values", {"release": "r", "metric": "qwk"}) == 40.0


def test_the_alarm_of_a_former_release_ends_with_its_watch_also_for_a_worker_that_starts_later(tmp_path: Path) -> None:
    shifted = Window(signal="a", values=900, effect=0.5, error=0.04, index=0.3, threshold=0.15, found="up")

    def watched(release: str, *signals: str) -> Watcher:
        every = {name: [shifted] for name in signals}
        ended = dict.fromkeys(signals, 1)
        return Watcher(release=release, limits=DriftLimits(), recent=every, ended=ended, alarmed=set(signals))

    def alarms(metrics: Metrics, registry: Any) -> dict[str, float | None]:
        metrics.monitoring.watched(tmp_path)
        asked = {f"{r} {s}": {"release": r, "signal": s} for r in "xyz" for s in "ab"}
        return {name: registry.get_sample_value("homeroom_drift_alarm", labels) for name, labels in asked.items()}

    def worker() -> tuple[Metrics, Any]:
        registry = prometheus_client.CollectorRegistry()
        return Metrics(registry), registry

    none = dict.fromkeys(("x a", "x b", "y a", "y b", "z a", "z b"), None)
    old = worker()
    write_watcher(tmp_path, watched("x", "a", "b"))
    assert alarms(*old) == {**none, "x a": 1.0, "x b": 1.0}
    write_watcher(tmp_path, watched("x", "a"))  # begun anew, after its file was damaged
    assert alarms(*old) == {**none, "x a": 1.0, "x b": 0.0}
    write_watcher(tmp_path, watched("y"))  # promoted, and no window yet
    assert alarms(*old) == {**none, "x a": 0.0, "x b": 0.0}
    write_quality(tmp_path, "y", {})
    write_watcher(tmp_path, watched("z", "b"))
    later = {**none, "x a": 0.0, "z b": 1.0}
    assert alarms(*old) == {**later, "x b": 0.0}
    assert alarms(*worker()) == later  # in place of one that was killed while it showed 1
    write_watcher(tmp_path, watched("x", "a"))  # rolled back
    assert alarms(*worker()) == {**none, "x a": 1.0, "z b": 0.0}


def test_a_release_without_a_reference_is_served_and_not_watched(tracing_folder: Path) -> None:
    found = go_live(ServiceSettings(), tracing_folder)
    assert found.is_ready
    assert found.monitor is None
    asked(found, [("/predict", request_of(4), "s-1")])
    assert found.tally.signals == {}
    assert found.tally.requests == 1


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"format": 99, "signals": {}}'])
def test_a_reference_that_cannot_be_read_stops_no_service(body: bytes, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", extra={"reference.json": body})
    found = go_live(ServiceSettings(), tmp_path / "bundle")
    assert found.is_ready
    assert found.monitor is None


def test_a_codec_without_signals_is_watched_by_its_numbers(tmp_path: Path) -> None:
    write_score_bundle(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    assert not isinstance(bundle.codec, MonitoredCodec)
    assert signals_of(bundle.codec, None, {"value": 0.25}) == {"value": 0.25}
    answer = {"parts": [{"p": 1, "flag": True}, {"p": 0.5}], "steps": 3, "text": "x", "bad": math.nan, "none": None}
    assert signals_of(bundle.codec, None, answer) == {"p": 0.75, "steps": 3.0}


def test_a_status_of_an_older_worker_has_no_signals(live: Live, tmp_path: Path) -> None:
    server, _, _ = asked(live, [("/predict", request_of(1), None)])
    plain = live.tally.to_json()
    del plain["signals"]
    assert live.bundle is not None
    value = {
        "format": 1,
        "pid": 1,
        "started": 0.0,
        "at": 0.0,
        "entry": None,
        "release": "r",
        "challenger": None,
        "percent": 0,
        "shadow": None,
        "ready": True,
        "reason": "",
        "behind": server.behind,
        "comparison": None,
        "releases": {"r": plain},
    }
    assert WorkerStatus.from_json(value).releases["r"].signals == {}
