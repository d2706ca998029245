"""Hostile requests: what has taken over other servers, aimed at every field, body, header and path of this one.

Each that could run something would write a marker file; each that could make a server fetch something names an address
where a test listens.
"""

import gzip
import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.serving.access.test_middleware import CORRECTION, TEXT

POSTS = ("/v1/predict", "/v1/predict/batch", "/v1/overrides")
FIELDS = ("id", "release", "prompt", "text", "reason", "teacher", "student", "response")
PICKLE = "application/vnd.bentoml+pickle"


class Touch:
    """When unpickled, writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@dataclass(frozen=True)
class Payload:
    """One request."""

    name: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def strings(marker: Path, url: str) -> dict[str, str]:
    """Return texts that do something where they are interpreted."""
    touch = f"touch {marker}"
    return {
        "url": f"{url}/fetched",
        "metadata service": "http://169.254.169.254/latest/meta-data/",
        "file url": "file:///etc/passwd",
        "path": "/etc/passwd",
        "traversal": "../../../../../../etc/passwd",
        "encoded traversal": "..%2f..%2f..%2fetc%2fpasswd",
        "s3 url": "s3://bucket/key",
        "unc path": "\\\\127.0.0.1\\share\\x",
        "data url": "data:text/html;base64,PHNjcmlwdD4=",
        "shell": f"; {touch} #",
        "substitution": f"$({touch})",
        "backquotes": f"`{touch}`",
        "pipe": f"| {touch}",
        "python": f"__import__('os').system('{touch}')",
        "format": "{0.__class__.__init__.__globals__}",
        "percent": "%s%n%x" * 50,
        "template": "{{ self.__init__.__globals__.__builtins__.__import__('os').popen('" + touch + "').read() }}",
        "template 2": "${T(java.lang.Runtime).getRuntime().exec('" + touch + "')}",
        "jndi": "${jndi:ldap" + url.removeprefix("http") + "/a}",
        "sql": "'; DROP TABLE students; --",
        "yaml": f"!!python/object/apply:os.system ['{touch}']",
        "xml": f'<!DOCTYPE a [<!ENTITY x SYSTEM "{url}/x">]><a>&x;</a>',
        "html": f'<script src="{url}/x.js"></script><img src=x onerror=alert(1)>',
        "formula": f'=HYPERLINK("{url}","x")',
        "line": 'x\r\nset-cookie: a=b\r\n\r\n{"level":"forged"}',
        "nul": "a\x00b",
        "bidi": "\u202e\u2066\ufeff\u0000",
    }


def payloads(marker: Path, url: str) -> Iterator[Payload]:
    """Yield more than two hundred."""
    as_json = (("content-type", "application/json"),)
    touch = f"touch {marker}"
    for name, text in strings(marker, url).items():
        asked: list[tuple[str, Any]] = [
            ("/v1/predict", {**TEXT, "text": text}),
            ("/v1/predict", {**TEXT, "prompt": text}),
            ("/v1/predict/batch", [{**TEXT, "text": text}, {"prompt": text, text: text}]),
            ("/v1/overrides", {**CORRECTION, **dict.fromkeys(FIELDS, text)}),
        ]
        for path, one in asked:
            yield Payload(f"{name} to {path}", "POST", path, as_json, json.dumps(one).encode())
        yield Payload(
            f"{name} in fields",
            "POST",
            "/v1/overrides",
            as_json,
            json.dumps({**CORRECTION, "text": text, "reason": text}).encode(),
        )
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        body = pickle.dumps(Touch(marker), protocol)
        for path in (*POSTS, "/", "/session", "/livez"):
            for kind in (PICKLE, "application/json"):
                yield Payload(f"pickle {protocol} as {kind} to {path}", "POST", path, (("content-type", kind),), body)
        more = (("content-type", PICKLE), ("payload-container", "NdarrayContainer"), ("kwargs", body.hex()))
        yield Payload(f"pickle {protocol} to a runner", "POST", "/predict", more, body)
    objects: dict[str, Any] = {
        "jsonpickle": {"py/reduce": [{"py/type": "os.system"}, {"py/tuple": [touch]}]},
        "class": {"__class__": "os.system", "__reduce__": [touch], "__init__": touch},
        "type": {"$type": "System.Diagnostics.Process", "StartInfo": touch},
        "prototype": {"__proto__": {"roles": ["approve"]}, "constructor": {"prototype": {}}},
        "globals": {"__globals__": {}, "__builtins__": {}, "__dict__": {"roles": ["approve"]}},
        "reference": {"$ref": f"{url}/schema.json"},
        "operator": {"$where": f"function() {{ {touch} }}", "$gt": ""},
    }
    for name, value in objects.items():
        for path in POSTS:
            for made in ({**TEXT, **value}, {"prompt": value, "text": value}, [value]):
                yield Payload(f"{name} to {path}", "POST", path, as_json, json.dumps(made).encode())
    bombs = {
        "gzip bomb": (gzip.compress(b" " * 20_000_000), (("content-encoding", "gzip"),)),
        "deflate": (b"x", (("content-encoding", "deflate, gzip, br"),)),
        "deep": (b"[" * 100_000, ()),
        "wide": (b"[" + b"{}," * 50_000 + b"{}]", ()),
        "number": (b'{"prompt":"a","text":"b","explain":' + b"9" * 100_000 + b"}", ()),
        "exponent": (b'{"score": 1e999999999}', ()),
        "long key": (b'{"' + b"k" * 1_000_000 + b'": 1}', ()),
        "same key": (b"{" + b'"text": "a",' * 10_000 + b'"text": "a"}', ()),
        "surrogates": (b'{"prompt": "\\ud800", "text": "\\udfff\\ud800"}', ()),
        "xml": (strings(marker, url)["xml"].encode(), ()),
    }
    for name, (body, extra) in bombs.items():
        for path in POSTS:
            yield Payload(f"{name} to {path}", "POST", path, as_json + extra, body)
    for name, value in {
        "x-forwarded-host": url,
        "x-original-url": "/v1/overrides",
        "x-rewrite-url": "/metrics",
        "x-http-method-override": "DELETE",
        "forwarded": "for=127.0.0.1;host=localhost",
        "x-forwarded-for": "127.0.0.1",
        "referer": f"{url}/referer",
        "user-agent": "() { :; }; " + touch,
        "traceparent": "00-" + "f" * 32 + "-" + "f" * 16 + "-01",
        "range": "bytes=0-" + "0,0-" * 1000,
        "transfer-encoding": "identity",
        "expect": "a miracle",
        "upgrade": "h2c",
        "authorization": "Bearer ${jndi:ldap://127.0.0.1/a}",
        "cookie": "homeroom-session=" + pickle.dumps(Touch(marker), 0).hex(),
        "bentoml-request-id": url,
    }.items():
        yield Payload(f"header {name}", "POST", "/v1/predict", (*as_json, (name, value)), json.dumps(TEXT).encode())
    for path in (
        "/page/../settings.py",
        "/page/..%2f..%2fsettings.py",
        "/page/%2e%2e/service.py",
        "/page/....//settings.py",
        "/page//etc/passwd",
        "/page/x%00.js",
        "/static_content/../../../../etc/passwd",
        "/static_content/..%2f..%2f..%2fsetup.py",
        "//etc/passwd",
        f"/{url}",
        "/v1/card/../../../etc/passwd",
        "/v1/%2e%2e/%2e%2e/etc/passwd",
        "/v1/openapi.json?url=" + url,
        "/api?configUrl=" + url,
        "/v1/predict?file=/etc/passwd",
        "/v1/card?path=../../../etc/passwd",
        "/" + "a" * 8_000,
    ):
        yield Payload(f"path {path[:40]}", "GET", path, (), b"")
