"""Addresses of raw files: which of them carry a secret, told without repeating it."""

import re

# A secret may itself hold `/`. A port is no secret, so digits up to a slash do not count where there can be ports.
_USER_AND_SECRET = re.compile(r"(?!\[)[^/?#@:]*:(?!\d*(?:[/?#]|$))[^@]*@")
_KEY_AND_SECRET = re.compile(r"[^/?#@:]*:[^@]*@")
_NAMED_SECRET = re.compile(
    r"[?&;#](?:x-(?:amz|goog)-[a-z-]+|awsaccesskeyid|credential|key|password|pwd|secret|sig|signature|\w*token)=", re.I
)
_HOST = re.compile(r"[a-z0-9.-]+", re.I)
WEB = frozenset({"http", "https"})
WITHOUT_PORTS = frozenset({"s3", "s3a", "gs", "gcs"})


def secret_in(name: str) -> str | None:
    """Return a sentence that says which kind of secret `name` carries and what to do, or None where it carries none.

    The sentence shows the scheme and, where it can be told safely, the host.

    Args:
        name: a path, pattern or URL; also a chain such as `zip://*.csv::https://host/logs.zip`.
    """
    for part in name.split("::"):
        scheme, sign, rest = part.partition("://")
        kind = _kind(scheme.lower(), rest) if sign else None
        if kind is not None:
            return (
                f"{_shown(scheme, rest)}: the address carries {kind}, and addresses are recorded; expected one without "
                "secrets. For S3 set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or another of the AWS_* variables) "
                "and write s3://bucket/path; else download the file first and name your copy"
            )
    return None


def _kind(scheme: str, rest: str) -> str | None:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user = _KEY_AND_SECRET if scheme in WITHOUT_PORTS else _USER_AND_SECRET
    if user.match(rest) or (scheme in WEB and "@" in authority):
        return "a user's name or password"
    if scheme in WEB and "?" in rest:
        return "a query, which may be a signature or a token"
    if _NAMED_SECRET.search(rest):
        return "a signature or a token"
    return None


def _shown(scheme: str, rest: str) -> str:
    """Return scheme and host; the scheme alone where an `@` leaves open which part is the host."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, _, place = authority.rpartition("@")
    host = _HOST.match(place)
    if host is None or rest.count("@") != authority.count("@") or authority.count("@") > 1:
        return f"{scheme}://..."
    return f"{scheme}://{host.group()}/..."
