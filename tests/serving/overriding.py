"""A server of a small grading release that takes overrides, forked for tests that kill it: `tests.forked.forks`."""

import os
from pathlib import Path
from typing import Any

import uvicorn

from serving.http import Api
from serving.live import go_live
from serving.settings import ServiceSettings
from tests.forked import serve


def run(question: dict[str, Any]) -> int:
    """Serve `release` on a port that is written to `port`, with overrides in `overrides`, until it is killed."""
    settings = ServiceSettings(release=Path(question["release"]), serve_overrides=Path(question["overrides"]))
    live = go_live(settings)
    assert live.is_ready, live.reason
    app = Api(live)
    config = uvicorn.Config(app, port=0, log_level="critical")
    socket = config.bind_socket()
    socket.listen()  # who finds the port may ask at once
    part = Path(f"{question['port']}.part")
    part.write_text(str(socket.getsockname()[1]))
    os.replace(part, question["port"])
    uvicorn.Server(config).run(sockets=[socket])
    return 0


if __name__ == "__main__":
    serve(run)
