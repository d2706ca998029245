"""Waiting until a promotion is complete: all workers of a server say that they answer by it."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from serving.errors import ServerStartError

POLL_S = 0.2


def wait_until_live(
    say: Callable[[], Any],  # Any: parsed JSON of /v1/version
    version: str,
    timeout_s: float,
    *,
    entry: int = 0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Return the number of workers once all of a server's answer with release `version` as champion.

    Args:
        say: asks the server, for instance `version_of(url)`.
        version: the release.
        timeout_s: after this time it is given up.
        entry: number of the entry that promoted it; one that a worker answered by before does not count.
        clock: seconds.
        sleep: waits so many seconds.

    Raises:
        ServerStartError: not all did in time; says which do not, and why.
    """
    end = clock() + timeout_s
    told = "nobody answered"
    while True:
        try:
            said = say()
            workers = said["workers"]
            others = [
                one
                for one in workers
                if one["release"] != version or not one["ready"] or (entry and (one["entry"] or 0) < entry)
            ]
            if workers and not others:
                return len(workers)
            told = "; ".join(
                f"worker {one['pid']} answers with {one['release']}, by entry {one['entry']}"
                + (f" ({why})" if (why := one["reason"] or one["behind"]) else "")
                for one in others
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            told = f"the server could not be asked ({getattr(error, 'reason', None) or type(error).__name__})"
        if clock() >= end:
            raise ServerStartError(f"{version} is not live on all workers after {timeout_s:g} s: {told}.")
        sleep(POLL_S)


def version_of(url: str, headers: Mapping[str, str] | None = None, timeout_s: float = 5.0) -> Any:  # Any: parsed JSON
    """Return what a server says at /v1/version. Proxies of the environment are not asked.

    Raises:
        OSError: nobody answers there, or not with 200.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{url.rstrip('/')}/v1/version", headers=dict(headers or {}))
    with opener.open(request, timeout=timeout_s) as response:
        return json.loads(response.read())
