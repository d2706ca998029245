"""Why a bucket or server cannot be reached, in words: what was tried, what came back, and what to do about it."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)"
BY_CODE = {
    "InvalidAccessKeyId": f"the server does not know the access key; expected one of its own. Correct {KEYS}",
    "SignatureDoesNotMatch": f"the secret key does not belong to the access key. Correct {KEYS}",
    "ExpiredToken": "the credentials have expired. Get new ones (AWS_SESSION_TOKEN belongs to them) and run again",
    "InvalidToken": "the session token is not valid. Get new credentials (AWS_SESSION_TOKEN belongs to them)",
    "RequestTimeTooSkewed": "this machine's clock is wrong by more than the server allows. Set the clock",
    "AccessDenied": "the credentials are known but may not do this. Have read (and for a store: write, list, delete) "
    "rights given to them",
    "NoSuchBucket": "there is no such bucket. Make it, or correct its name (AWS_ENDPOINT_URL names another server)",
    "PermanentRedirect": "the bucket is in another region. Set AWS_DEFAULT_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket is in another region. Set AWS_DEFAULT_REGION to it",
}
"""S3's error code -> what it means and what to do."""


def why_unreachable(error: BaseException) -> str | None:
    """Return what is behind an error of a remote file system and what to do, or None where it is nothing known.

    The sentence names at most the server; never credentials, and nothing of what a file holds.
    """
    chain = list(_chain(error))
    for one in chain:
        response = getattr(one, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        if code in BY_CODE:
            return f"{BY_CODE[code]} (the server said {code})"
    names = {type(one).__name__ for one in chain}
    if "NoCredentialsError" in names or "PartialCredentialsError" in names:
        return f"no complete credentials were found. Set {KEYS}"
    place = _server(chain)
    for one in chain:
        if isinstance(one, socket.gaierror):
            return f"the name of the server{place} cannot be resolved. Correct AWS_ENDPOINT_URL, or check the network"
        if isinstance(one, ConnectionRefusedError):
            return (
                f"nothing answers at the server{place}: the connection was refused. Start it, or correct "
                "AWS_ENDPOINT_URL"
            )
    if any("Timeout" in name for name in names):
        return f"the server{place} gave no answer in time. Check the network (proxy, firewall), then run again"
    if isinstance(error, PermissionError):
        return (
            "it may not be read with these rights. Check its owner, or the credentials (AWS_*) and the bucket's policy"
        )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _server(chain: list[BaseException]) -> str:
    """Return ` HOST:PORT` where an error names it."""
    for one in chain:
        arguments = getattr(one, "kwargs", None)
        if isinstance(arguments, dict) and isinstance(arguments.get("endpoint_url"), str):
            found = urlsplit(arguments["endpoint_url"])
            return f" {found.hostname}" + (f":{found.port}" if found.port else "")
        if isinstance(getattr(one, "host", None), str):
            return f" {one.host}:{getattr(one, 'port', '')}"  # type: ignore[attr-defined]  # it was asked for above
    return ""
