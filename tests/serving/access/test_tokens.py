"""Tokens (JWT): the pinned algorithm, issuer, audience and times; forgeries of every known kind count as nothing."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from serving.access import ring as ring_module
from serving.access import tokens as tokens_module
from serving.access.clients import Client
from serving.access.file import AccessFile, parsed
from serving.access.ring import KeyRing
from serving.access.tokens import read_token
from serving.errors import AccessFileError

ISSUER, AUDIENCE = "https://sign-in.district.example", "homeroom"
ED, OTHER_ED = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE: dict[str, Any] = {"EdDSA": ED, "ES256": EC, "RS256": RSA, "PS256": RSA}


def pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def file_of(algorithm: str = "EdDSA", key: Any = None, **more: Any) -> bytes:
    issuer = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithm": algorithm,
        "public_key": pem(key or PRIVATE[algorithm]),
    }
    return json.dumps({"format": 1, "keys": [], "issuers": [{**issuer, **more}]}).encode()


def access(algorithm: str = "EdDSA", **more: Any) -> AccessFile:
    return parsed(file_of(algorithm, **more), Path("access.json"))


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "lincoln-high",
        "exp": now + 600,
        "iat": now,
        "roles": ["grade", "read"],
    }
    return {name: value for name, value in {**made, **more}.items() if value is not ...}


def signed(payload: dict[str, Any], algorithm: str = "EdDSA", key: Any = None, **header: Any) -> str:
    return jwt.encode(payload, key or PRIVATE[algorithm], algorithm=algorithm, headers=header or None)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "PS256"])
def test_a_token_of_the_configured_kind_names_its_client(algorithm: str) -> None:
    found = read_token(signed(claims(), algorithm), access(algorithm, rate=3.0, burst=5).issuers)
    assert found is not None
    assert found[0] == Client(id="lincoln-high", roles=frozenset({"grade", "read"}), rate=3.0, burst=5)


def test_claims_map_to_client_roles_and_district() -> None:
    told = {"client_claim": "azp", "roles_claim": "scope", "district_claim": "org"}
    issuers = access(**told, roles={"teachers": ["grade", "override"], "it": ["read"]}).issuers
    found = read_token(signed(claims(azp="app", scope="teachers it other", org="north")), issuers)
    assert found is not None
    assert (found[0].id, found[0].district) == ("app", "north")
    assert found[0].roles == {"grade", "override", "read"}
    own = read_token(signed(claims(roles=["grade", "root", 7])), access(district="south").issuers)
    assert own is not None
    assert (set(own[0].roles), own[0].district) == ({"grade"}, "south")


def hs256_with_the_public_key() -> str:
    head, body = part({"alg": "HS256", "typ": "JWT"}), part(claims())
    mac = hmac.new(pem(ED).encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def with_another_body() -> str:
    head, _, signature = signed(claims()).split(".")
    return f"{head}.{part(claims(sub='somebody-else'))}.{signature}"


def with_another_head(**more: Any) -> str:
    _, body, signature = signed(claims()).split(".")
    return f"{part({'alg': 'EdDSA', **more})}.{body}.{signature}"


FORGERIES: dict[str, Callable[[], str]] = {
    "none": lambda: f"{part({'alg': 'none'})}.{part(claims())}.",
    "none with a signature": lambda: f"{part({'alg': 'none'})}.{part(claims())}.AAAA",
    "NoNe": lambda: f"{part({'alg': 'NoNe'})}.{part(claims())}.AAAA",
    "no algorithm": lambda: f"{part({})}.{part(claims())}.AAAA",
    "HMAC with the public key": hs256_with_the_public_key,
    "another key": lambda: signed(claims(), key=OTHER_ED),
    "another algorithm": lambda: signed(claims(), "ES256"),
    "a key of its own in the header": lambda: signed(
        claims(), key=OTHER_ED, jwk=json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(OTHER_ED.public_key()))
    ),
    "a key elsewhere in the header": lambda: signed(claims(), key=OTHER_ED, jku="http://127.0.0.1:9/keys"),
    "another body": with_another_body,
    "another head": lambda: with_another_head(typ="JWT", kid="x"),
    "expired": lambda: signed(claims(exp=int(time.time()) - 31)),
    "not yet": lambda: signed(claims(nbf=int(time.time()) + 60)),
    "no expiry": lambda: signed(claims(exp=...)),
    "expiry is no number": lambda: signed(claims(exp="never")),
    "another issuer": lambda: signed(claims(iss="https://elsewhere.example")),
    "no issuer": lambda: signed(claims(iss=...)),
    "issuer is a list": lambda: f"{part({'alg': 'EdDSA'})}.{part(claims(iss=[ISSUER]))}.AAAA",
    "another audience": lambda: signed(claims(aud="another-service")),
    "no audience": lambda: signed(claims(aud=...)),
    "no subject": lambda: signed(claims(sub=...)),
    "a subject that forges a log": lambda: signed(claims(sub="a\nb")),
    "a subject that is too long": lambda: signed(claims(sub="a" * 65)),
    "roles are an object": lambda: signed(claims(roles={"grade": True})),
    "empty": lambda: "",
    "two parts": lambda: "a.b",
    "four parts": lambda: signed(claims()) + ".x",
    "no JSON": lambda: "AAAA.AAAA.AAAA",
    "deep JSON": lambda: f"{base64.urlsafe_b64encode(b'[' * 5000).decode().rstrip('=')}.AAAA.AAAA",
    "long": lambda: signed(claims(more="x" * 9000)),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_counts_as_nothing(name: str) -> None:
    assert read_token(signed(claims()), access().issuers) is not None
    assert read_token(FORGERIES[name](), access().issuers) is None


def test_clocks_may_differ_by_the_leeway() -> None:
    late = signed(claims(exp=int(time.time()) - 20))
    assert read_token(late, access(leeway_s=30.0).issuers) is not None
    assert read_token(late, access(leeway_s=5.0).issuers) is None


@pytest.mark.parametrize(
    ("algorithm", "key", "told"),
    [
        ("HS256", ED, "algorithm"),
        ("none", ED, "algorithm"),
        ("RS256", ED, "is none of RS256"),
        ("EdDSA", RSA, "is none of EdDSA"),
        ("ES256", ec.generate_private_key(ec.SECP384R1()), "is none of ES256"),
        ("RS256", rsa.generate_private_key(public_exponent=65537, key_size=1024), "2048 bits"),
    ],
)
def test_an_issuer_whose_key_and_algorithm_do_not_go_together_is_refused(algorithm: str, key: Any, told: str) -> None:
    with pytest.raises(AccessFileError, match=told):
        access(algorithm, key=key)
    with pytest.raises(AccessFileError, match="cannot be read; expected PEM"):
        access(public_key="a shared secret")


def test_a_token_is_checked_once_and_forgotten_when_it_ends_or_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring_module, "LOOK_EVERY_S", 0.0)
    file, now = tmp_path / "access.json", time.time()
    file.write_bytes(file_of())
    checked: list[str] = []

    def counted(token: str, issuers: Any) -> Any:
        checked.append(token)
        return read_token(token, issuers)

    monkeypatch.setattr(ring_module, "read_token", counted)
    ring = KeyRing(file, lambda: now)
    token = signed(claims())
    assert all(ring.client_of(token) for _ in range(5))
    assert len(checked) == 1
    now += 600 + 31
    assert ring.client_of(token) is None, "it has ended"
    now -= 1000
    assert ring.client_of(token) is not None
    file.write_bytes(file_of(key=OTHER_ED))
    assert ring.client_of(token) is None, "who signed it does not count any more"
    for number in range(ring_module.MOST_REMEMBERED + 50):
        monkeypatch.setattr(ring_module, "read_token", lambda *_: (Client(id="a", roles=frozenset()), now + 10))
        ring.client_of(f"a.b.{number}")
    assert len(ring._tokens) == ring_module.MOST_REMEMBERED


def test_no_token_can_have_a_key_fetched() -> None:
    assert not [name for name in dir(tokens_module) if "JWK" in name or "urlopen" in name]
