"""A service that runs and does not answer: how it is found, what becomes of it, and what is no such thing."""

import http.server
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.installation import children
from flows.installation.children import Child, Watched, spawn
from flows.installation.probes import Patience, Probe, answers
from serving.run import free_port
from tests.serving.access.test_server import certificate

PATIENCE = Patience(every_s=10.0, misses=3, start_s=300.0)
URL = "http://127.0.0.1:3000/livez"


class Hour:
    """A clock and a service whose answers a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.is_up = True
        self.asked: list[float] = []
        self.probe = Probe(URL, PATIENCE, ask=self._ask, clock=lambda: self.now, start=lambda work: work())

    def _ask(self, url: str, timeout_s: float) -> bool:
        assert (url, timeout_s) == (URL, 10.0)
        self.asked.append(self.now)
        return self.is_up

    def goes(self, seconds: float) -> float | None:
        """Let time go by, half a second at a time; return when it was found hung, if it was."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            if self.probe.is_hung():
                return self.now
        return None


def test_a_service_that_answers_is_asked_every_ten_seconds_and_never_hangs() -> None:
    hour = Hour()
    assert hour.goes(100.0) is None
    assert hour.asked == [0.5, *(10.5 + 10.0 * n for n in range(9))]


def test_three_missed_answers_in_a_row_are_a_hang() -> None:
    hour = Hour()
    hour.goes(100.0)
    hour.is_up = False
    found = hour.goes(100.0)
    assert found is not None
    assert 20.0 < found - 100.0 < 31.0


def test_two_missed_ones_and_an_answer_are_none() -> None:
    hour = Hour()
    for _ in range(5):
        hour.is_up = False
        assert hour.goes(20.0) is None
        hour.is_up = True
        assert hour.goes(10.0) is None


def test_one_that_starts_has_its_time_until_it_answered_once() -> None:
    hour = Hour()
    hour.is_up = False
    found = hour.goes(1000.0)
    assert found is not None
    assert 300.0 <= found <= 331.0
    hour.probe.begin()  # started again
    assert hour.goes(250.0) is None
    hour.is_up = True
    assert hour.goes(30.0) is None
    hour.is_up = False
    assert hour.goes(31.0) is not None, "it had answered"


def test_no_second_question_while_one_waits_and_an_answer_of_the_former_process_counts_for_nothing() -> None:
    waiting: list[Callable[[], None]] = []
    hour = Hour()
    hour.probe = Probe(URL, PATIENCE, ask=hour._ask, clock=lambda: hour.now, start=waiting.append)
    hour.goes(60.0)
    assert len(waiting) == 1
    hour.probe.begin()
    hour.goes(1.0)
    assert len(waiting) == 2
    hour.is_up = False
    waiting[0]()
    hour.goes(60.0)
    assert (len(waiting), hour.probe.missed) == (2, 0)


class Fake:
    """A process that ends when it is killed, not when it is asked to."""

    def __init__(self) -> None:
        self.pid = 0
        self.status: int | None = None
        self.told: list[str] = []

    def poll(self) -> int | None:
        return self.status

    def terminate(self) -> None:
        self.told.append("terminate")

    def kill(self) -> None:
        self.told.append("kill")
        self.status = -9


def test_what_hangs_is_ended_and_started_again_with_the_usual_waiting_time(tmp_path: Path) -> None:
    hour, said, processes = Hour(), list[str](), list[Fake]()

    def start(child: Child) -> Fake:
        processes.append(Fake())
        return processes[-1]

    child = Child(name="north-app", kind="service", command=("x",), environment={}, log=tmp_path / "log")
    watched = Watched(child, start, lambda: hour.now, said.append, hour.probe)  # type: ignore[arg-type]  # fakes

    def until(holds: Callable[[], bool]) -> float:
        while not holds():
            hour.now += 0.5
            watched.look()
            assert hour.now < 2000.0
        return hour.now

    until(lambda: hour.now > 100.0)
    hour.is_up = False
    asked_to = until(lambda: processes[0].told == ["terminate"])
    assert said == [
        f"north-app runs, and gave no answer on {URL} 3 times in a row; ending it, to start it again",
    ]
    assert until(lambda: not watched.is_running) - asked_to == pytest.approx(children.HUNG_S, abs=1.0)
    assert processes[0].told == ["terminate", "kill"]
    assert said[1].startswith("north-app ended with status -9 after")
    hour.is_up = True
    until(lambda: len(processes) == 2)
    assert (watched.restarts, watched.is_running) == (1, True)
    until(lambda: hour.now > 1500.0)
    assert len(processes) == 2


HANGS = """
import http.server, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/hang":
            server.hangs = True
        if server.hangs:
            time.sleep(600)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
server.hangs = False
print("ready", flush=True)
server.serve_forever()
"""


@pytest.mark.multiprocess
def test_a_process_that_stops_answering_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "FIRST_WAIT_S", 0.1)
    port, said = free_port(), list[str]()
    child = Child(
        name="service", kind="service", command=(sys.executable, "-c", HANGS, str(port)), environment={},
        log=tmp_path / "log", url=f"http://127.0.0.1:{port}", patience=Patience(every_s=0.3, misses=2, start_s=30.0),
    )  # fmt: skip
    watched = Watched(child, lambda one: spawn(one, {}), time.monotonic, said.append)

    def look_until(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not holds():
            watched.look()
            assert time.monotonic() < end, said
            time.sleep(0.05)

    try:
        look_until(lambda: answers(f"{child.url}/livez", 0.5))
        first = watched.process
        look_until(lambda: watched._probe is not None and watched._probe._has_answered)
        assert not answers(f"{child.url}/hang", 0.2)
        look_until(lambda: watched.process not in (first, None) and answers(f"{child.url}/livez", 0.5))
        assert first is not None
        assert first.returncode == -signal.SIGTERM
        assert (watched.restarts, ["no answer" in line for line in said]) == (1, [True, False])
    finally:
        children.stop([watched], lambda: 5.0)


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                handle(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_what_is_no_http_is_no_answer() -> None:
    with serving(lambda one: one.sendall(b"SSH-2.0-x\r\n\r\n")) as port:
        assert not answers(f"http://127.0.0.1:{port}/livez")


def test_a_certificate_made_out_to_the_outer_name_is_no_reason_not_to_answer(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/livez" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"https://127.0.0.1:{server.server_port}"
        try:
            assert answers(f"{url}/livez")
            assert not answers(f"{url}/readyz")
        finally:
            server.shutdown()
            thread.join()
