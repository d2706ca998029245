"""`bentoml serve` with its supervisor's control sockets out of reach of this machine's other users.

    python -m serving.launch serve serving.service:Service ...

BentoML's supervisor (circus) takes commands on TCP ports of 127.0.0.1 without asking who sends them, and one of its
commands starts any program as the user who serves (bentoml 1.4.39). Here they are sockets in a folder that only that
user may enter. `bentoml serve` alone still has the ports: tests/serving/access/test_ports.py shows both.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

CHECK_S = 2.0
"""How often the supervisor looks whether a worker died, to start another; BentoML's own interval is 10 s."""
MOST_PATH_BYTES = 100
"""What a socket's path may have, less than the 108 of Linux."""


def private_arbiter(folder: Path) -> Any:  # Any: circus ships no types
    """Return a `create_standalone_arbiter` whose control sockets lie in `folder`."""
    from bentoml._internal.utils import circus

    def create(watchers: Any, *, threaded: bool = False, **options: Any) -> Any:  # Any: likewise
        kind = circus.ThreadedArbiter if threaded else circus.Arbiter
        return kind(
            watchers,
            endpoint=f"ipc://{folder}/control.sock",
            pubsub_endpoint=f"ipc://{folder}/events.sock",
            check_delay=options.pop("check_delay", CHECK_S),
            **options,
        )

    return create


def main() -> None:
    """Run BentoML's command line."""
    from bentoml._internal.utils import circus
    from bentoml_cli.cli import cli

    home = Path(os.environ.get("BENTOML_HOME", ""))
    fits = home.is_dir() and len(bytes(home)) < MOST_PATH_BYTES - len("/control/control.sock")
    folder = Path(tempfile.mkdtemp(prefix="control-", dir=home if fits else None))  # mode 0700
    circus.create_standalone_arbiter = private_arbiter(folder)
    try:
        cli()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
