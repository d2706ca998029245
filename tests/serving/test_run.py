"""A real server as a child process: ready, asked, overloaded, refused, stopped gracefully, with nothing left behind."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from serving.errors import ServerStartError
from serving.run import ServerProcess, free_port, start
from tests.serving.bundles import KEY, probability_of, request_of, tracing_model, write_bundle

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.multiprocess]


def serving_from(release: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("HOMEROOM_RELEASE") == str(release):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "key").write_text(KEY.public.line())
    write_bundle(folder / "release", key=KEY)
    with start(folder / "release", key_file=folder / "key", log_file=folder / "server.log") as process:
        yield process


def client(server: ServerProcess) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=30, trust_env=False)


def test_it_answers_with_its_release_on_every_answer(server: ServerProcess) -> None:
    with client(server) as ask:
        said = ask.get("/v1/version").json()
        assert (said["ready"], said["signature"], said["application"]) == (True, "verified", "knowledge_tracing")
        for steps in (0, 3, 30):
            response = ask.post("/v1/predict", json=request_of(steps))
            assert response.status_code == 200
            assert response.headers["x-homeroom-release"] == said["release"]
            assert response.json()["release"] == said["release"]
            found = response.json()["answer"]["predictions"][0]["probability"]
            assert found == pytest.approx(probability_of(steps), abs=1e-6)
        assert ask.get("/v1/card").text.startswith("# Card")
        assert ask.get("/readyz").status_code == 200
        assert ask.get("/livez").status_code == 200


def test_its_openapi_page_shows_the_typed_request(server: ServerProcess) -> None:
    with client(server) as ask:
        page = ask.get("/")
        assert page.status_code == 200
        assert "./docs.json" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for name in re.findall(r'(?:src|href)="\./(.*?)"', page.text):
            assert ask.get(f"/{name}").status_code == 200, name
        docs = ask.get("/docs.json").json()
        own = ask.get("/v1/openapi.json").json()
        release = ask.get("/v1/version").json()["release"]
    for text in (page.text, json.dumps(docs), json.dumps(own)):
        assert not re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", text), "the page must load nothing from elsewhere"
        assert "bentoml" not in text.lower(), "the page is about the release"
    for info in (docs["info"], own["info"]):
        assert (info["title"], info["version"]) == ("homeroom: knowledge_tracing", release)
        assert f"Release `{release}` of the application `knowledge_tracing`" in info["description"]
        assert "`POST /v1/predict` takes one request" in info["description"]
        assert "contact" not in info
    body = docs["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Request"}
    for schemas in (docs["components"]["schemas"], own["components"]["schemas"]):
        assert set(schemas["Request"]["properties"]) == {"candidates", "history"}
        assert set(schemas["Step"]["properties"]) == {"correct", "item", "skills"}
        assert "predictions" in schemas["Answer"]["properties"]


def test_bad_and_large_bodies_are_refused_on_the_wire(server: ServerProcess) -> None:
    with client(server) as ask:
        assert ask.post("/v1/predict", content=b"{").status_code == 400
        assert ask.post("/v1/predict", json={"candidates": [], "more": 1}).status_code == 400
        assert ask.post("/v1/predict", content=b" " * 2_000_001).status_code == 413
        chunked = ask.post("/v1/predict", content=(b" " * 100_000 for _ in range(25)))
        assert chunked.status_code == 413
        assert ask.post("/v1/predict", json=request_of(1)).status_code == 200
        assert ask.get("/v1/predict").status_code == 405
        assert ask.get("/v1/nothing").status_code == 404


def test_metrics_count_the_requests_and_the_log_holds_none_of_them(server: ServerProcess) -> None:
    with client(server) as ask:
        ask.post("/v1/predict", json={"candidates": [{"item": "Anna Smith"}], "history": "Anna"})
        metrics = ask.get("/metrics").text
    lines = [line for line in metrics.splitlines() if line.startswith("homeroom_requests_total{")]
    assert any('route="/predict"' in line and 'status="400"' in line for line in lines), metrics
    text = server.log_tail(10_000)
    assert "Anna" not in text
    assert "/v1/predict" not in text, "the access log is on"
    assert "is live (signature verified)" in text


def test_sixteen_threads_get_their_own_answers(server: ServerProcess) -> None:
    def ask_some(thread: int) -> list[float]:
        with client(server) as ask:
            gaps = []
            for i in range(10):
                steps = (thread * 3 + i) % 30
                body = ask.post("/v1/predict", json=request_of(steps)).json()
                gaps.append(abs(body["answer"]["predictions"][0]["probability"] - probability_of(steps)))
            return gaps

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        gaps = [gap for found in pool.map(ask_some, range(16)) for gap in found]
    assert len(gaps) == 160
    assert max(gaps) <= 1e-6


def test_sigterm_lets_a_request_in_flight_finish_and_leaves_no_process(tmp_path: Path) -> None:
    write_bundle(tmp_path / "release")
    server = start(tmp_path / "release")
    try:
        family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
        assert len(family) >= 2
        body = json.dumps(request_of(3)).encode()
        host, port = server.url.removeprefix("http://").split(":")
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue"
        with socket.create_connection((host, int(port)), timeout=30) as wire:
            wire.sendall(head.encode() + b"\r\n\r\n")
            assert wire.recv(100).startswith(b"HTTP/1.1 100"), "the server says so once our handler reads the body"
            os.kill(server.process.pid, signal.SIGTERM)
            wait_until_closed(server)
            wire.sendall(body)
            answer = b"".join(iter(lambda: wire.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        found = json.loads(answer.partition(b"\r\n\r\n")[2])["answer"]["predictions"][0]["probability"]
        assert found == pytest.approx(probability_of(3), abs=1e-6)
        server.process.wait(20)
    finally:
        server.stop()
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not server.home.exists()


def wait_until_closed(server: ServerProcess) -> None:
    """Wait until the worker serves no new connections (BentoML's parent process still lets them queue)."""
    for _ in range(50):
        try:
            httpx.get(f"{server.url}/livez", timeout=0.5, trust_env=False)
        except httpx.TransportError:
            return
        time.sleep(0.02)
    pytest.fail("the server still serves new connections after SIGTERM")


def test_stop_kills_every_process_even_when_the_leader_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(tmp_path / "release")
    monkeypatch.setenv("HOMEROOM_PSEUDONYM_KEY", "00" * 32)
    server = start(tmp_path / "release")
    assert len(serving_from(tmp_path / "release")) >= 2
    assert "HOMEROOM_PSEUDONYM_KEY" not in psutil.Process(server.process.pid).environ()
    children = psutil.Process(server.process.pid).children(recursive=True)
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(10)
    assert [c for c in children if c.is_running()], "the worker died with the leader: nothing to test"
    server.stop()
    assert not [c for c in children if c.is_running()]


PARENT = """
import sys, time
from pathlib import Path
from serving.run import start
server = start(Path(sys.argv[1]))
print(server.url, server.home, server.guard.pid, flush=True)
time.sleep(600)
"""


def test_a_server_whose_parent_is_killed_is_gone_within_ten_seconds(tmp_path: Path) -> None:
    write_bundle(tmp_path / "release")
    command = [sys.executable, "-c", PARENT, str(tmp_path / "release")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None  # it was asked for
        url, home, guard = parent.stdout.readline().split()
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        assert len(serving_from(tmp_path / "release")) >= 2
        parent.kill()
        parent.wait(10)
        end = time.monotonic() + 10
    while time.monotonic() < end and (serving_from(tmp_path / "release") or alive(int(guard))):
        time.sleep(0.1)
    assert not serving_from(tmp_path / "release")
    assert not alive(int(guard)), "the guard itself is left"
    assert not Path(home).exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/readyz", timeout=2, trust_env=False)


def alive(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_the_guard_goes_with_its_server(tmp_path: Path) -> None:
    write_bundle(tmp_path / "release")
    with start(tmp_path / "release") as server:
        assert server.guard.poll() is None
    assert server.guard.returncode == -signal.SIGKILL


def test_a_changed_release_is_refused_with_its_reason(tmp_path: Path) -> None:
    write_bundle(tmp_path / "release")
    (tmp_path / "release" / "model.onnx").write_bytes(tracing_model(shift=0.5))
    with pytest.raises(ServerStartError, match=r"model\.onnx of bundle knowledge_tracing-[0-9a-f]{12} has digest"):
        start(tmp_path / "release")


def test_a_wrong_golden_answer_is_never_ready(tmp_path: Path) -> None:
    write_bundle(tmp_path / "release", model=tracing_model(shift=0.5))
    with pytest.raises(ServerStartError, match="Golden request 0, answered alone"):
        start(tmp_path / "release")


def test_a_port_in_use_is_told_and_its_server_left_alone(server: ServerProcess, tmp_path: Path) -> None:
    write_bundle(tmp_path / "release")
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(ServerStartError, match=r"(?i)address already in use.*--port 0 .*takes a free one") as caught:
        start(tmp_path / "release", port, start_s=60)
    assert caught.value.exit_code == 4
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{server.url}/readyz") as response:
        assert response.status == 200, "the other server was harmed"


def test_too_short_a_time_limit_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    write_bundle(tmp_path / "release")
    with pytest.raises(ServerStartError, match=r"not ready after 0\.2 s"):
        start(tmp_path / "release", start_s=0.2)
    assert not serving_from(tmp_path / "release")


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    write_bundle(tmp_path / "release")
    with pytest.raises(ServerStartError, match=r"Port 0 of 192\.0\.2\.1 cannot be listened on"):
        start(tmp_path / "release", host="192.0.2.1")


def test_free_ports_can_be_listened_on() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))


def test_a_port_that_is_taken_at_the_last_moment_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look for a free port and the server's own start, another program may take it."""
    write_bundle(tmp_path / "release")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        found = iter([taken, free_port()])
        monkeypatch.setattr("serving.run._usable", lambda port, host: next(found))
        with start(tmp_path / "release") as process:
            assert process.url.rpartition(":")[2] != str(taken)
            assert httpx.get(f"{process.url}/readyz", trust_env=False).status_code == 200
