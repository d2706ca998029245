"""A release served from its build context alone, as an image holds it: no torch, none of the application's own code."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.signing import Key
from serving.build import write_build_context

FORBIDDEN = ("torch", "prefect", "polars", "sklearn", "flows", "trainer", "onnx")
"""Packages that an image does not have."""
SCRIPT = """
import asyncio, importlib.abc, json, sys
from pathlib import Path

requests, forbidden = Path(sys.argv[1]), set(sys.argv[2:])

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            raise ImportError(f"{name} is not in the image")
        return None

sys.meta_path.insert(0, Blocked())
import httpx
from release_service import Service

async def main():
    app = Service.to_asgi()
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            ready = await client.get("/readyz")
            replies = [await client.post("/v1/predict", json=one) for one in json.loads(requests.read_text())]
    print(json.dumps({"ready": ready.status_code, "replies": [[one.status_code, one.json()] for one in replies]}))

asyncio.run(main())
"""


def served_from_context(
    release: Path, key: Key, scratch: Path, requests: Sequence[Any], forbidden: Sequence[str] = ()
) -> dict[str, Any]:  # Any: JSON
    """Return `{"ready": status, "replies": [[status, body], ...]}` of a service on the release's build context.

    Args:
        release: the release's folder.
        key: it must be signed with this.
        scratch: an empty folder.
        requests: bodies of requests, as JSON values.
        forbidden: packages that it must not import, beside FORBIDDEN.

    Raises:
        RuntimeError: the service did not run; with the end of what it printed.
    """
    context = scratch / "context"
    write_build_context(release, context, key)
    (scratch / "requests.json").write_text(json.dumps(list(requests)), encoding="utf-8")
    names = ("PATH", "OMP_NUM_THREADS", "TMPDIR")
    environment = {name: os.environ[name] for name in names if name in os.environ} | {
        "HOME": str(scratch),
        "BENTOML_HOME": str(scratch / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(context),
    }
    command = [sys.executable, "-c", SCRIPT, str(scratch / "requests.json"), *FORBIDDEN, *forbidden]
    done = subprocess.run(
        command, cwd=context, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"The service did not run from {context}. The end of what it said:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
