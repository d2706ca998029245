"""An S3 server on loopback with faults: a small HTTP proxy in front of moto's server, or of any other S3."""

import contextlib
import http.client
import socket
import struct
import threading
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from components._testing.s3_faults import S3Fault, operation_of
from components.errors import DependencyMissingError

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect", "content-length"})
WRITES = frozenset({"PutObject", "CopyObject", "CompleteMultipartUpload"})
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One request that a fault met."""

    operation: str
    key: str
    fault: S3Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class S3Server:
    """An S3 server on this machine's loopback whose requests can be made to fail. Bodies are held in memory.

        with S3Server() as s3:
            s3.make_bucket("district")
            s3.inject(slow_down(times=2, operations=("PutObject",)))
            store = Store("s3://district/store", cache=cache, storage_options=s3.storage_options())
            ...
            assert s3.count("PutObject") == 2

    Args:
        upstream: address of an S3 to stand in front of; None starts moto's server in this process.

    Attributes:
        injected: every request that a fault met, in order.

    Raises:
        DependencyMissingError: there is no `upstream`, and moto is not installed.
    """

    def __init__(self, upstream: str | None = None) -> None:
        self._moto: Any = None  # Any: moto ships no types
        if upstream is None:
            try:
                from moto.server import ThreadedMotoServer  # late: only tests need it
            except ImportError as error:
                raise DependencyMissingError(
                    "An S3 server for tests needs moto: pip install 'homeroom[testing]', or give `upstream=`, the "
                    "address of an S3 that is there."
                ) from error
            self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._upstream = upstream
        self._lock = threading.Lock()
        self._faults: list[S3Fault] = []
        self._seen: dict[int, int] = defaultdict(int)
        self._stopped = threading.Event()
        self._changes: dict[str, int | None] | None = None
        """Since a stale listing was injected: object -> its size before, None where there was none."""
        self._sizes: dict[str, int] = {}
        self.injected: list[Injection] = []
        self.requests: list[tuple[str, str]] = []
        """Every request, as operation and key."""

    # -- what a test uses --------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._moto is not None:
            self._moto.start()
            host, port = self._moto.get_host_and_port()
            self._upstream = f"http://{host}:{port}"
        handler = type("Handler", (_Handler,), {"faults": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        if self._moto is not None:
            self._moto.stop()

    @property
    def endpoint(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def environment(self) -> dict[str, str]:
        """Return the environment variables under which homeroom and boto find this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def storage_options(self) -> dict[str, Any]:  # Any: fsspec's
        """Return what fsspec and `Store` need to find this server."""
        return {
            "key": "test",
            "secret": "test",
            "client_kwargs": {"endpoint_url": self.endpoint, "region_name": "us-east-1"},
        }

    def make_bucket(self, name: str) -> None:
        """Make a bucket in moto's server, past the faults.

        Raises:
            RuntimeError: the server did not.
        """
        answer = self.forward("PUT", f"/{name}", {}, b"")
        if answer.status != 200:
            raise RuntimeError(f"No bucket {name!r} was made: {answer.status} {answer.body!r}.")

    def inject(self, *faults: S3Fault) -> None:
        """Add faults; the first that meets a request is what happens to it."""
        with self._lock:
            self._faults += faults
            if any(fault.kind == "stale_listing" for fault in faults) and self._changes is None:
                self._changes = {}

    def clear(self) -> None:
        """Take all faults away; requests that hang end."""
        with self._lock:
            self._faults.clear()
            self._seen.clear()
            self._changes = None
            self._stopped.set()
            self._stopped = threading.Event()

    def count(self, *operations: str) -> int:
        """Return how many requests of these operations met a fault; of all operations without a name."""
        return sum(1 for one in self.injected if not operations or one.operation in operations)

    # -- what the handler uses ---------------------------------------------------------------------------------------

    def fault_for(self, operation: str, key: str) -> S3Fault | None:
        """Return the fault that meets this request, and note it."""
        with self._lock:
            self.requests.append((operation, key))
            for fault in self._faults:
                if not fault.meets(operation, key):
                    continue
                self._seen[id(fault)] += 1
                number = self._seen[id(fault)] - fault.after
                if number > 0 and (fault.times is None or number <= fault.times):
                    self.injected.append(Injection(operation=operation, key=key, fault=fault))
                    return fault
        return None

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the faults are taken away."""
        self._stopped.wait(seconds)

    def forward(self, method: str, target: str, headers: dict[str, str], body: bytes) -> _Answer:
        """Ask the server behind and return its answer."""
        address = urlsplit(self._upstream or "")
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        with contextlib.closing(kind(address.hostname or "", address.port)) as connection:
            kept = {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(method, target, body=body, headers={**kept, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            return _Answer(status=answer.status, headers=tuple(answer.getheaders()), body=answer.read())

    def note(self, operation: str, path: str, size: int) -> None:
        """Remember what a request that succeeded has written or deleted, for stale listings."""
        with self._lock:
            before = self._sizes.get(path)
            if operation in WRITES:
                self._sizes[path] = size
            elif operation == "DeleteObject":
                self._sizes.pop(path, None)
                before = before or 0
            else:
                return
            if self._changes is not None:
                self._changes.setdefault(path, before)

    def as_before(self, bucket: str, body: bytes) -> bytes:
        """Return a listing without what was written, and with what was deleted, since stale listings were injected."""
        ElementTree.register_namespace("", NAMESPACE)
        tree = ElementTree.fromstring(body)
        name = f"{{{NAMESPACE}}}" if tree.tag.startswith("{") else ""
        prefix = unquote(tree.findtext(f"{name}Prefix") or "")
        with self._lock:
            changes = dict(self._changes or {})
        shown = set()
        for item in tree.findall(f"{name}Contents"):
            path = f"{bucket}/{unquote(item.findtext(f'{name}Key') or '')}"
            shown.add(path)
            if path in changes and changes[path] is None:
                tree.remove(item)
        for path, size in changes.items():
            key = path.removeprefix(f"{bucket}/")
            if size is not None and path not in shown and path.startswith(f"{bucket}/") and key.startswith(prefix):
                item = ElementTree.SubElement(tree, f"{name}Contents")
                for field, value in (("Key", key), ("LastModified", "2026-01-01T00:00:00.000Z"), ("Size", str(size))):
                    ElementTree.SubElement(item, f"{name}{field}").text = value
        count = tree.find(f"{name}KeyCount")
        if count is not None:
            count.text = str(len(tree.findall(f"{name}Contents")))
        text: bytes = ElementTree.tostring(tree, xml_declaration=True, encoding="UTF-8")
        return text


class _Handler(BaseHTTPRequestHandler):
    """Passes one request on, or does what a fault says."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: else each answer waits 40 ms for the client's delayed ACK
    disable_nagle_algorithm = True

    faults: ClassVar["S3Server"]
    """The server that its requests come to: each server makes a subclass of its own."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle_expect_100(self) -> bool:
        """Say at once that the body is welcome; the client waits for that."""
        welcome = super().handle_expect_100()
        self.wfile.flush()
        return welcome

    def _handle(self) -> None:
        body = self._body()
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        operation = operation_of(self.command, key, urlsplit(self.path).query, dict(self.headers))
        fault = self.faults.fault_for(operation, key)
        if fault is not None and fault.kind == "reset":
            self._reset()
            return
        if fault is not None and fault.kind == "hang":
            self.faults.wait(fault.seconds)
            self._reset()
            return
        if fault is not None and fault.kind == "status":
            text = f"<Error><Code>{escape(fault.code)}</Code><Message>injected by a test</Message></Error>"
            self._answer(
                _Answer(status=fault.status, headers=(("Content-Type", "application/xml"),), body=text.encode())
            )
            return
        answer = self.faults.forward(self.command, self.path, dict(self.headers), body)
        if answer.status < 300:
            self.faults.note(operation, f"{bucket}/{key}", len(body))
        if fault is not None and fault.kind == "lose_answer":
            self._reset()
            return
        if fault is not None and fault.kind == "stale_listing" and answer.status == 200:
            answer = _Answer(status=200, headers=answer.headers, body=self.faults.as_before(bucket, answer.body))
        cut = fault.bytes if fault is not None and fault.kind == "cut_body" and answer.status < 300 else None
        self._answer(answer, cut)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _answer(self, answer: _Answer, cut: int | None = None) -> None:
        length = len(answer.body)
        if self.command == "HEAD":
            length = next((int(v) for n, v in answer.headers if n.lower() == "content-length"), 0)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may have given up
            if self.command != "HEAD":
                self.wfile.write(answer.body if cut is None else answer.body[:cut])
        if cut is not None:
            self.close_connection = True

    def _reset(self) -> None:
        """Close with RST instead of FIN."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.close()
