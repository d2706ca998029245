"""How HTTP is read off a connection: uvicorn's protocol over httptools, with the limits that it has not.

The parser (llhttp) takes heads of any length, and uvicorn queues as many requests of one connection as are sent, before
anybody has shown a key. Both would let one connection take all memory. The other rules here keep two readers of one
connection, say a proxy and this server, of one mind about where a request ends.
"""

import json
from typing import Any

import httptools
import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 65_536
"""Bytes that may arrive without a whole head, a piece of a body or the end of a message among them."""
MOST_PIPELINED = 256
"""Requests of one connection that may wait for the answer to the one before."""
HEAD_S = 10.0
"""How long a head may take to arrive; also the rest of a body whose request was answered without it."""
NOT_HTTP = "This cannot be read as HTTP/1.1."
LONG_HEAD = f"The head of the request is longer than {MOST_HEAD_BYTES} bytes; send fewer or shorter headers."
PHRASES = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class Protocol(HttpToolsProtocol):
    """One connection.

    What is no HTTP, or too much of it, is answered in the words of `serving.http`, and the connection closed. A wish to
    upgrade to another protocol is passed over, as RFC 9110 (7.8) has it: some clients (Java's) send one with every
    request. Trailers are dropped: whoever reads headers reads those that the door has seen.
    """

    _unread = 0
    """Bytes since the parser last came to the end of something."""
    _in_head = False
    _deadline: float | None = None
    """When the connection is closed unless the head, or the rest of a body that nobody reads, is there."""

    def connection_made(self, transport: Any) -> None:  # Any: asyncio's transport
        """Begin; a client that says nothing is not waited for."""
        super().connection_made(transport)
        self._close_at(self.loop.time() + HEAD_S)

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._unset_keepalive_if_required()
        self._unread += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_on_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response(NOT_HTTP)
            return
        if self._unread > MOST_HEAD_BYTES:
            self._refuse(431, LONG_HEAD)
        elif self.cycle is None or self.cycle.response_complete:
            self._hurry()

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the one before."""
        self._unread, self._in_head, self._deadline = 0, False, None
        if self.parser.should_upgrade():
            return  # read again in a moment, without the wish
        super().on_headers_complete()
        self.headers = []  # the request has its own; trailers go here, and nowhere
        if len(self.pipeline) > MOST_PIPELINED:
            raise ValueError("too many requests wait")  # the parser stops, and the connection is closed

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        if self.parser.should_upgrade():
            return
        self._unread, self._deadline = 0, None
        super().on_message_complete()
        self.cycle.more_body = False  # also where it was answered before

    def on_response_complete(self) -> None:
        """Go on with the next request; where the rest of this one's body is not there, not for long.

        A client that asked first whether to send its body (`expect`) and was refused need not send it. Whatever comes
        next could be the body or another request, so the connection ends.
        """
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            if self.expect_100_continue:
                self._unset_keepalive_if_required()
                self.transport.close()
            else:
                self._deadline = self.loop.time() + HEAD_S

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, NOT_HTTP)

    def _read_on_without_upgrade(self, rest: bytes) -> None:
        """Read the head once more, less the wish, and then what follows it."""
        if self.parser.get_method() == b"CONNECT":
            self._refuse(400, NOT_HTTP)
            return
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                words = [word for word in value.split(b",") if word.strip().lower() != b"upgrade"]
                if words:
                    lines.append(b"connection:%b" % b",".join(words))
            elif name != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's first one has it
        self.data_received(b"\r\n".join([*lines, b"", b""]) + rest)

    def _hurry(self) -> None:
        """Wait no longer than is due for the end of a head, or of a body that nobody reads, or for the next request."""
        if self._in_head and self._deadline is None:
            self._deadline = self.loop.time() + HEAD_S
        due = self._deadline
        self._close_at(self.loop.time() + self.timeout_keep_alive if due is None else due)

    def _close_at(self, when: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_at(when, self.timeout_keep_alive_handler)

    def _refuse(self, status: int, why: str) -> None:
        """Answer and close; where an answer is on its way, a word between would be taken for it: only close."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self.pipeline or cycle.response_started:
                self.transport.close()
                return
            cycle.disconnected = True  # its body is what cannot be read: no other answer follows
            cycle.message_event.set()
        body = json.dumps({"error": why, "status": status, "problems": []}).encode()
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, PHRASES[status], len(body)) + body)
        self.transport.close()


def read_http_so() -> None:
    """Have uvicorn read HTTP by `Protocol` wherever it chooses by itself, as BentoML lets it."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{Protocol.__module__}:{Protocol.__qualname__}"
