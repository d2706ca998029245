"""A real server with keys: its ports, pickles to each of them, raw bytes, metrics, changed keys, its log; and TLS."""

import datetime
import ipaddress
import pickle
import random
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from serving.access.tls import Tls
from serving.errors import ServerStartError
from serving.guard import MARK
from serving.run import ServerProcess, start
from tests.serving.access.house import make_key
from tests.serving.access.payloads import PICKLE, Touch
from tests.serving.access.test_middleware import CORRECTION, TEXT

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.multiprocess]
CANARY = "Xylophon-canary-Ada-4711"


@dataclass
class Served:
    """A running server with keys."""

    server: ServerProcess
    folder: Path
    key: str

    def ask(self, key: str | None = None, **more: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.key if key is None else key}"}
        return httpx.Client(base_url=self.server.url, timeout=30, trust_env=False, headers=headers, **more)

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.server.home):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def addresses(self) -> set[tuple[str, int]]:
        """Return every TCP address that a process of the server listens on."""
        return {
            (one.laddr.ip, one.laddr.port)
            for process in self.processes()
            for one in process.net_connections("inet")
            if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM
        }


@pytest.fixture(scope="module")
def served(grading_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    key = make_key(folder / "access.json", "school", rate=1e6, burst=1_000_000)
    environment = {
        "HOMEROOM_SERVE_KEYS": str(folder / "access.json"),
        "HOMEROOM_SERVE_OVERRIDES": str(folder / "kept"),
        "HOMEROOM_SERVE_REQUEST_LOG": "all",
    }
    with start(grading_folder, log_file=folder / "server.log", environment=environment) as server:
        yield Served(server, folder, key)


def test_it_starts_with_keys_and_lets_in_who_has_one(served: Served) -> None:
    with served.ask() as asking:
        assert asking.post("/v1/predict", json=TEXT).status_code == 200
        assert asking.post("/v1/overrides", json=CORRECTION).status_code == 201
    with httpx.Client(base_url=served.server.url, trust_env=False) as nobody:
        assert nobody.post("/v1/predict", json=TEXT).status_code == 401
        assert nobody.get("/v1/card").status_code == 401
        assert nobody.get("/livez").status_code == 200
        assert nobody.get("/v1/version").status_code == 200, "from this machine"
        lines = nobody.get("/metrics").text.splitlines()
    assert any(line.startswith('homeroom_refusals_total{status="401"}') for line in lines), "refusals are counted"


def test_the_one_port_it_listens_on_is_the_one_it_was_given(served: Served) -> None:
    port = int(served.server.url.rpartition(":")[2])
    assert len(served.processes()) >= 2
    assert served.addresses() == {("127.0.0.1", port)}, "bentoml serve alone has two more, which take commands"


def test_a_pickle_sent_to_every_port_runs_nowhere(served: Served) -> None:
    marker = served.folder / "marker"
    headers = [(b"content-type", PICKLE.encode()), (b"payload-container", b"PandasDataFrameContainer")]
    for address, port in served.addresses():
        for path in ("/", "/predict", "/v1/predict", "/v1/overrides", "/session", "/livez", "/metrics", "/__call__"):
            for protocol in (0, 2, 5):
                for method in ("POST", "PUT", "GET"):
                    body = pickle.dumps(Touch(marker), protocol)
                    with served.ask() as asking:
                        url = f"http://{address}:{port}{path}"
                        assert asking.request(method, url, content=body, headers=headers).status_code == 415
    assert not marker.exists()


def test_raw_bytes_break_nothing(served: Served) -> None:
    chance = random.Random(8)
    port = int(served.server.url.rpartition(":")[2])
    good = (
        f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {served.key}\r\n"
        f'Content-Type: application/json\r\nContent-Length: 28\r\n\r\n{{"prompt": "a","text": "bcd"}}'
    ).encode()
    messages = [
        b"",
        b"\x00" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS to a server without
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  /  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
        b"POST /v1/predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /v1/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
        b"0\r\n\r\nGET /v1/version HTTP/1.1\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n" + CANARY.encode(),
        b"POST /v1/predict HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        f"GET /{CANARY} HTTP/1.1\r\nHost: {CANARY}\r\nX-{CANARY}: {CANARY}\r\n\r\n".encode(),
        f"{CANARY} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b"GET /%ff%fe%00%c0%ae HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
        f"GET /metrics?{CANARY} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        good[:-10],
        good * 20,
    ]
    for _ in range(100):
        spoilt = bytearray(good)
        for _ in range(chance.randint(1, 12)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        messages.append(bytes(spoilt)[: chance.choice([len(spoilt), chance.randrange(len(spoilt))])])
    messages += [chance.randbytes(chance.randrange(1, 400)) for _ in range(60)]
    family = {process.pid for process in served.processes()}
    answers = b""
    for message in messages:
        answers += said_to(port, message)
    assert b"HTTP/1.1 200" in answers
    assert b"HTTP/1.1 5" not in answers
    assert CANARY.encode() not in answers
    assert {process.pid for process in served.processes()} == family, "a process died"
    with served.ask() as asking:
        assert asking.get("/readyz").status_code == 200
        assert asking.post("/v1/predict", json=TEXT).status_code == 200


def said_to(port: int, message: bytes) -> bytes:
    """Return what a server answers to raw bytes; whoever sent half a message hangs up first."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        try:
            wire.sendall(message)
            wire.shutdown(socket.SHUT_WR)
            wire.settimeout(1.0)
            return b"".join(iter(lambda: wire.recv(65_536), b""))
        except OSError:  # it hung up on us
            return b""


def test_a_key_that_is_revoked_or_made_counts_within_two_seconds(served: Served) -> None:
    file = served.folder / "access.json"
    fresh = make_key(file, "later", "grade")
    end = time.monotonic() + 10
    with served.ask(fresh) as asking:
        while asking.post("/v1/predict", json=TEXT).status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.05)
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        time.sleep(1.2)
        assert asking.post("/v1/predict", json=TEXT).status_code == 200, "a damaged file changes nothing"
    assert "The access keys stay as they were" in served.server.log_tail(10_000)
    file.write_bytes(whole)


def test_its_log_has_a_line_for_a_request_and_nothing_of_what_was_said(served: Served) -> None:
    with served.ask() as asking:
        asking.post("/v1/predict", json={**TEXT, "text": f"word {CANARY}"}, headers={"x-student": CANARY})
        asking.post("/v1/predict", json={"prompt": CANARY, CANARY: 1}, params={"student": CANARY})
        asking.get(f"/v1/{CANARY}")
    text = served.server.log_tail(100_000)
    assert '"route": "/v1/predict", "status": 200' in text
    assert '"client": "school"' in text
    assert CANARY not in text
    assert served.key not in text
    assert served.key.split("_", 2)[2] not in text


def test_an_empty_setting_means_no_keys(grading_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEROOM_SERVE_KEYS", "/nowhere/access.json")  # of the user who starts it, inherited
    with start(grading_folder, environment={"HOMEROOM_SERVE_KEYS": ""}) as server:
        assert httpx.post(f"{server.url}/v1/predict", json=TEXT, trust_env=False).status_code == 200


def certificate(folder: Path) -> Tls:
    """Write a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "homeroom test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Tls(folder / "cert.pem", folder / "key.pem")


def test_over_tls_it_is_ready_signs_in_and_takes_nothing_older_than_tls_1_2(
    grading_folder: Path, tmp_path: Path
) -> None:
    tls = certificate(tmp_path)
    key = make_key(tmp_path / "access.json", "school")
    environment = {"HOMEROOM_SERVE_KEYS": str(tmp_path / "access.json")}
    with start(grading_folder, tls=tls, environment=environment) as server:
        assert server.url.startswith("https://")
        assert server.version()["ready"]
        trusting = ssl.create_default_context(cafile=str(tls.certificate))
        with httpx.Client(base_url=server.url, verify=trusting, trust_env=False) as asking:
            answer = asking.post("/v1/predict", json=TEXT, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 200
            signed_in = asking.post("/session", json={"key": key}, headers={"sec-fetch-site": "same-origin"})
            assert signed_in.headers["set-cookie"].startswith("__Host-homeroom-session=")
            assert asking.get("/v1/card").status_code == 200, "by the cookie"
        port = int(server.url.rpartition(":")[2])
        versions = {}
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            versions[version.name] = spoken(port, tls, version)
        assert versions == {"TLSv1_1": None, "TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False)


def spoken(port: int, tls: Tls, version: ssl.TLSVersion) -> str | None:
    """Return the version of TLS that a server speaks with who speaks only one, or None where it refuses."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(tls.certificate)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as wire,
            context.wrap_socket(wire, server_hostname="127.0.0.1") as safe,
        ):
            return safe.version()
    except ssl.SSLError:
        return None


def test_a_certificate_that_cannot_be_used_is_told_before_anything_starts(grading_folder: Path, tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other = certificate(tmp_path / "other")
    for wrong in (Tls(tls.certificate, other.key), Tls(tls.certificate, tmp_path / "none"), Tls(tls.key, tls.key)):
        with pytest.raises(ServerStartError, match="cannot be used: "):
            start(grading_folder, tls=wrong)
