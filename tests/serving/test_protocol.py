"""How HTTP is read off a connection, over real sockets: what RFC 9112 says, and what one connection may take."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from serving import protocol
from serving.asgi import Asked, ClientGoneError, Receive, Reply, Scope, Send
from serving.errors import BadRequestError
from serving.protocol import MOST_HEAD_BYTES, MOST_PIPELINED, Protocol

POST = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n"
MOST_BODY = 100

Ask = Callable[..., bytes]


class Echo:
    """Answers with method, path, body and one header; counts what it was asked."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.wait = threading.Event()
        self.wait.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked(scope, receive)
        try:
            body = await asked.body(MOST_BODY, 5.0)
        except BadRequestError as error:
            await Reply(str(error).encode(), error.status_here).send(send)
            return
        except ClientGoneError:
            await Reply(b"", 400).send(send)
            return
        while not self.wait.is_set():
            await asyncio.sleep(0.01)
        told = f"{scope['method']} {scope['path']} {body.decode()} {asked.header(b'homeroom-student')}"
        self.seen.append(told)
        await Reply(told.encode()).send(send)


@pytest.fixture
def echo() -> Echo:
    """The application behind `ask`."""
    return Echo()


@pytest.fixture
def server(echo: Echo) -> Iterator[uvicorn.Server]:
    """A server of its own thread, with its socket in `sockets`."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(echo, http=Protocol, lifespan="off", log_config=None, timeout_keep_alive=1)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listening])))
    thread.start()
    while not running.started:
        time.sleep(0.01)
    running.port = listening.getsockname()[1]  # type: ignore[attr-defined]  # for the test
    yield running
    echo.wait.set()
    running.should_exit = True
    running.force_exit = True
    thread.join(10)


@pytest.fixture
def ask(server: Any) -> Ask:
    """Send bytes, and return all that comes until nothing does for a while, or the connection ends."""

    def send(*parts: bytes, quiet_s: float = 0.3) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.settimeout(quiet_s)
            answer = b""
            try:
                for part in parts:
                    client.sendall(part)
                    time.sleep(0.02)
                while piece := client.recv(65_536):
                    answer += piece
            except TimeoutError:
                return answer + b"<open>"
            except ConnectionError:
                pass
            return answer + b"<closed>"

    return send


def test_a_wish_for_http2_is_passed_over_and_the_body_is_read(ask: Ask) -> None:
    # As Java's HttpClient sends by default over plain HTTP (RFC 7540, 3.2).
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    told = ask(POST + wish + b"Homeroom-Student: s1\r\nContent-Length: 2\r\n\r\n{}")
    assert told.endswith(b"POST /v1/predict {} s1<open>")
    chunked = ask(
        POST + wish + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\nGET /next HTTP/1.1\r\n\r\n"
    )
    assert b"POST /v1/predict {} None" in chunked
    assert b"GET /next" in chunked, "the connection goes on"
    late = ask(POST + wish + b"Content-Length: 2\r\n\r\n", b"{", b"}")
    assert late.endswith(b"POST /v1/predict {} None<open>")


def test_a_websocket_is_no_way_in(ask: Ask) -> None:
    wish = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhl\r\nSec-WebSocket-Version: 13\r\n"
    assert ask(b"GET /v1/predict HTTP/1.1\r\nHost: x\r\n" + wish + b"\r\n").startswith(b"HTTP/1.1 200")
    assert ask(b"CONNECT /v1/predict HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nX: ",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["path", "header", "trailer", "chunk extension"],
)
def test_a_head_without_an_end_is_refused(ask: Ask, start: bytes) -> None:
    told = ask(start, *[b"a" * 16_384] * (MOST_HEAD_BYTES // 16_384 + 2))
    assert told.endswith(b"<closed>")
    assert told == b"<closed>" or told.startswith(b"HTTP/1.1 431 ")  # the system may drop an answer to who still sends


def test_a_long_head_that_ends_is_read(ask: Ask) -> None:
    assert ask(b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n", b"\r\n").startswith(b"HTTP/1.1 200 ")


def test_many_requests_at_once_are_answered_in_order_up_to_a_limit(ask: Ask, echo: Echo) -> None:
    told = ask(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % i for i in range(100)))
    assert echo.seen == [f"GET /{i}  None" for i in range(100)]
    assert told.count(b"HTTP/1.1 200") == 100
    echo.wait.clear()
    told = ask(b"GET / HTTP/1.1\r\n\r\n" * (MOST_PIPELINED + 10))
    assert told == b"<closed>"


def test_trailers_are_dropped(ask: Ask) -> None:
    body = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nHomeroom-Student: someone\r\n\r\n"
    assert ask(POST + body).endswith(b"POST /v1/predict {} None<open>")


def test_what_follows_a_body_that_was_refused_unsent_is_never_read_as_another_request(ask: Ask, echo: Echo) -> None:
    told = ask(POST + b"Expect: 100-continue\r\nContent-Length: 999\r\n\r\n", b"GET /two HTTP/1.1\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 413 ")
    assert told.endswith(b"<closed>")
    assert echo.seen == []
    told = ask(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", b"{}")
    assert told.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert told.endswith(b"<open>")


def test_the_rest_of_a_refused_body_is_read_past(ask: Ask) -> None:
    told = ask(POST + b"Content-Length: 999\r\n\r\n", b"a" * 999 + b"GET /two HTTP/1.1\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 413 ")
    assert told.endswith(b"GET /two  None<open>")


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", POST + b"Content-Length: 999\r\n\r\n", POST + b"Content-Length: 999\r\n\r\n" + b"a" * 999],
    ids=["nothing", "half a head", "no body", "a body"],
)
def test_who_says_no_more_is_not_waited_for(ask: Ask, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    assert ask(sent, quiet_s=4.0).endswith(b"<closed>")


def test_a_head_that_drips_is_not_waited_for(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    assert ask(b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 40, quiet_s=0.1) == b"<closed>"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length : 2\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"X: a\r\n b\r\nContent-Length: 2\r\n",
    ],
)
def test_a_length_in_two_ways_is_no_request(ask: Ask, echo: Echo, head: bytes) -> None:
    told = ask(POST + head + b"\r\n{}")
    assert told.startswith(b"HTTP/1.1 400 ")
    assert told.endswith(b'"status": 400, "problems": []}<closed>')
    assert echo.seen == []


def test_a_head_request_has_no_body_and_the_next_answer_is_its_own(ask: Ask) -> None:
    told = ask(b"HEAD /one HTTP/1.1\r\n\r\nGET /two HTTP/1.1\r\n\r\n")
    assert told.count(b"HTTP/1.1 200") == 2
    assert b"HEAD /one" not in told
    assert told.endswith(b"GET /two  None<open>")
