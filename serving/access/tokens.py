"""Tokens (JWT) of a district's own sign-in: whose count, and what they say.

The algorithm is configured beside the public key and pinned: what a token's header asks for is never followed, so
neither `none` nor an HMAC keyed with the public key gets in. Only the issuer's name is read before the signature is
checked, to find the key to check it with.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field

from serving.access.clients import CLIENT_ID, ROLES, Client

Algorithm = Literal["EdDSA", "ES256", "RS256", "PS256"]
LONGEST_TOKEN = 8_192
"""Characters; a longer one is refused unread."""
LEAST_RSA_BITS = 2_048
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class IssuerSettings(BaseModel):
    """Whose tokens count, in the file of access keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    issuer: str = Field(min_length=1, description="What `iss` must be.")
    audience: str = Field(min_length=1, description="What `aud` must be, or hold.")
    algorithm: Algorithm
    public_key: str = Field(description="PEM of the public key that tokens are signed against.")
    leeway_s: float = Field(default=30.0, ge=0, le=300, description="What two clocks may differ by.")
    client_claim: str = Field(default="sub", description="The claim that names the client.")
    roles_claim: str = Field(default="roles", description="The claim that lists roles: a list, or words with blanks.")
    roles: dict[str, list[Literal["grade", "override", "approve", "read"]]] | None = Field(
        default=None, description="What the issuer's roles mean here; without it they are our own names."
    )
    district_claim: str | None = None
    district: str | None = Field(default=None, description="The district of all its clients, where no claim says it.")
    rate: float = Field(default=20.0, gt=0, le=1e6, allow_inf_nan=False)
    burst: int = Field(default=40, ge=1, le=1_000_000)


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer with its key, read."""

    settings: IssuerSettings
    key: Any = field(repr=False)  # Any: one of cryptography's public keys

    @classmethod
    def of(cls, settings: IssuerSettings) -> "Issuer":
        """Return the issuer. Raises ValueError where its key is none, or not one of its algorithm."""
        try:
            key = load_pem_public_key(settings.public_key.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError(
                f"the public key of issuer {settings.issuer!r} cannot be read; expected PEM (BEGIN PUBLIC KEY)."
            ) from None
        fits = {
            "EdDSA": isinstance(key, ed25519.Ed25519PublicKey),
            "ES256": isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1),
            "RS256": isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS,
            "PS256": isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS,
        }
        if not fits[settings.algorithm]:
            raise ValueError(
                f"the public key of issuer {settings.issuer!r} is none of {settings.algorithm}; expected Ed25519 for "
                f"EdDSA, P-256 for ES256, RSA of at least {LEAST_RSA_BITS} bits for RS256 and PS256."
            )
        return cls(settings, key)


def read_token(token: str, issuers: tuple[Issuer, ...]) -> tuple[Client, float] | None:
    """Return the client that a token names and when it expires, in seconds since 1970; None where it does not count."""
    if not issuers or len(token) > LONGEST_TOKEN or not _SHAPE.fullmatch(token):
        return None
    try:
        named = jwt.decode(token, options={"verify_signature": False}).get("iss")
        issuer = next((one for one in issuers if one.settings.issuer == named), None)
        if issuer is None:
            return None
        told = issuer.settings
        claims = jwt.decode(
            token,
            issuer.key,
            algorithms=[told.algorithm],
            audience=told.audience,
            issuer=told.issuer,
            leeway=told.leeway_s,
            options={"require": ["exp", "iss", "aud", told.client_claim]},
        )
        client = _client_of(claims, told)
        return None if client is None else (client, float(claims["exp"]) + told.leeway_s)
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
        return None  # why is nobody's business who cannot sign


def _client_of(claims: dict[str, Any], told: IssuerSettings) -> Client | None:
    name = claims[told.client_claim]
    district = told.district if told.district_claim is None else claims.get(told.district_claim)
    given = claims.get(told.roles_claim, [])
    words = given.split() if isinstance(given, str) else given
    if not isinstance(name, str) or not CLIENT_ID.fullmatch(name) or not isinstance(words, list):
        return None
    if district is not None and not (isinstance(district, str) and CLIENT_ID.fullmatch(district)):
        return None
    if told.roles is None:
        roles = {word for word in words if word in ROLES}
    else:
        roles = {role for word in words if isinstance(word, str) for role in told.roles.get(word, [])}
    return Client(id=name, roles=frozenset(roles), district=district, rate=told.rate, burst=told.burst)
