"""`homeroom serve` as a process: ready, answering, and gone with its server when it is told to stop."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.multiprocess]

ROOT = Path(__file__).resolve().parents[2]


def serving(released: Released, port: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "HOMEROOM_STORE": released.settings.store,
        "HOMEROOM_KEYS": str(released.settings.keys),
    }
    command = [sys.executable, "-m", "flows", "serve", "knowledge_tracing", "--port", port]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def url_of(running: "subprocess.Popen[str]") -> str:
    """Return the address that the command says it serves at, once it does."""
    assert running.stderr is not None  # it was asked for
    line = running.stderr.readline()
    found = re.search(r"http://[\d.:]+", line)
    assert found, line + running.stderr.read()
    return found[0]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_serve_answers_and_stops_with_its_server(released: Released, stop: signal.Signals) -> None:
    with serving(released, "0") as running:
        try:
            url = url_of(running)
            assert httpx.get(f"{url}/readyz").status_code == 200
            body = {"candidates": [{"skills": ["nobody knows this"]}]}
            answer = httpx.post(f"{url}/v1/predict", json=body).json()
            assert answer["release"] == released.summary.outcome.release.version
            assert "no_known_part" in answer["answer"]["predictions"][0]["flags"]
            running.send_signal(stop)
            status = running.wait(30)
        finally:
            running.kill()
    assert status == {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 0}[stop]
    assert is_gone(url)


def is_gone(url: str) -> bool:
    try:
        httpx.get(f"{url}/readyz", timeout=2)
    except httpx.TransportError:
        return True
    return False


def test_a_killed_command_leaves_no_server_behind(released: Released) -> None:
    with serving(released, "0") as running:
        url = url_of(running)
        running.kill()
    end = time.monotonic() + 10
    while time.monotonic() < end and not is_gone(url):
        time.sleep(0.1)
    assert is_gone(url)


def test_a_port_in_use_is_told_with_what_to_do(released: Released) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with serving(released, str(taken.getsockname()[1])) as running:
            _, said = running.communicate(timeout=60)
    assert running.returncode == 4
    assert "--port 0" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_cannot_be_is_a_wrong_usage(released: Released, port: str) -> None:
    with serving(released, port) as running:
        _, said = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "--port" in said
