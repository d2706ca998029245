"""Sends every hostile payload to a service in this process and writes down what Python did meanwhile (audit events).

    python -m tests.serving.access.hostile <release> <scratch folder> <address that a test listens on>

A process of its own: an audit hook stays for good. Prints JSON: how many were sent, statuses, and what happened.
"""

import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from serving.settings import ServiceSettings
from tests.serving.access.house import House, make_key, open_house
from tests.serving.access.payloads import Payload, payloads
from tests.serving.access.test_middleware import CORRECTION, TEXT

NEVER = (
    "subprocess.",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.bind",
    "urllib.",
    "ctypes.",
)
NEVER_THESE = frozenset(
    {
        "os.system",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "pty.spawn",
        "pickle.find_class",
        "exec",
        "compile",
        "import",
        "marshal.loads",
        "os.remove",
        "os.rename",
        "os.chmod",
        "os.chown",
        "os.link",
        "os.symlink",
        "os.mkdir",
        "os.rmdir",
        "os.truncate",
        "shutil.rmtree",
        "shutil.copyfile",
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
        "webbrowser.open",
        "http.client.connect",
        "ftplib.connect",
        "smtplib.connect",
        "sqlite3.connect",
        "mmap.__new__",
    }
)


def send(house: House, key: str, payload: Payload) -> int:
    """Send one as whoever has every role; return the status."""
    headers = list(payload.headers)
    if not any(name == "authorization" for name, _ in headers):
        headers.append(("authorization", f"Bearer {key}"))
    return house.ask(payload.method, payload.path, headers=headers, body=payload.body).status_code


def main(release: Path, scratch: Path, url: str) -> None:
    """Run."""
    warnings.simplefilter("ignore")
    key = make_key(scratch / "access.json", "school", rate=1e6, burst=1_000_000)
    kept = scratch / "kept"
    settings = ServiceSettings(
        release=release, serve_keys=scratch / "access.json", serve_overrides=kept, serve_request_log="off"
    )
    happened: list[str] = []
    watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event == "open":
            place = str(arguments[0])
            if not place.startswith(str(kept)):
                happened.append(f"open {place[:100]}")
        elif event in NEVER_THESE or event.startswith(NEVER):
            happened.append(f"{event} {str(arguments)[:100]}")

    sys.addaudithook(watch)
    statuses: Counter[int] = Counter()
    with open_house(settings) as house:
        every = list(payloads(scratch / "marker", url))
        for payload in every:  # unwatched: what is imported and compiled at first use is no harm
            send(house, key, payload)
        house.ask("POST", "/v1/predict", key=key, value=TEXT)
        house.ask("POST", "/v1/overrides", key=key, value=CORRECTION)
        watching = True
        for payload in every:
            statuses[send(house, key, payload)] += 1
        watching = False
        after = house.ask("POST", "/v1/predict", key=key, value=TEXT).status_code
        ready = house.ask("GET", "/readyz").status_code
    print(json.dumps({"sent": len(every), "statuses": statuses, "happened": happened, "after": after, "ready": ready}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
