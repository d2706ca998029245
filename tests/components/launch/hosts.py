"""Two hosts on one machine: network namespaces, joined by a cable (veth) or by a bad line (`wire.py`)."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

WIRE = Path(__file__).with_name("wire.py")
ADDRESSES = {"a": "10.213.7.1", "b": "10.213.7.2"}
PREFIX = "homeroom-test"


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=30).stdout


class Hosts:
    """Two namespaces, `a` and `b`, that reach each other by ADDRESSES through the device `wire`."""

    def __init__(self, delay_s: float = 0.0, loss: float = 0.0, seed: int = 0) -> None:
        self.names = {side: f"{PREFIX}-{os.getpid()}-{side}" for side in ADDRESSES}
        self._line: subprocess.Popen[str] | None = None
        self._delay_s, self._loss, self._seed = delay_s, loss, seed

    def make(self) -> None:
        for name in self.names.values():
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        a, b = self.names.values()
        if self._delay_s or self._loss:
            command = [sys.executable, str(WIRE), a, b, str(self._delay_s), str(self._loss), str(self._seed)]
            self._line = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert self._line.stdout is not None
            assert self._line.stdout.readline() == "ready\n"
        else:
            ip("link", "add", "wire", "netns", a, "type", "veth", "peer", "name", "wire", "netns", b)
        for side, other in (("a", "b"), ("b", "a")):
            place = ADDRESSES[side] + ("" if self._line else "/24")
            peer = ["peer", ADDRESSES[other]] if self._line else []
            ip("-n", self.names[side], "address", "add", place, *peer, "dev", "wire")
            ip("-n", self.names[side], "link", "set", "wire", "up")

    def cut(self) -> None:
        ip("-n", self.names["a"], "link", "set", "wire", "down")

    def mend(self) -> None:
        ip("-n", self.names["a"], "link", "set", "wire", "up")

    def inside(self, side: str) -> Sequence[str]:
        """Return the command that runs another one on a host."""
        return ("ip", "netns", "exec", self.names[side])

    def options(self, side: str) -> Sequence[str]:
        """Return a node's options."""
        return ("--address", ADDRESSES[side], "--interface", "wire")

    def remove(self) -> None:
        if self._line is not None:
            self._line.kill()
            self._line.wait(10)
            assert self._line.stdout is not None
            self._line.stdout.close()
        for name in self.names.values():
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", name)


def remove_left_overs() -> None:
    """Remove the namespaces of test runs that were killed."""
    for name in re.findall(rf"^{PREFIX}-\d+-[ab]", ip("netns", "list"), re.M):
        if not psutil.pid_exists(int(name.split("-")[2])):
            ip("netns", "delete", name)


def why_not() -> str:
    """Return why there can be no hosts here, "" where there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2 (the command `ip`)"
    try:
        ip("netns", "add", f"{PREFIX}-{os.getpid()}-a")
        ip("netns", "delete", f"{PREFIX}-{os.getpid()}-a")
    except subprocess.CalledProcessError as error:
        return f"this container makes no network namespaces: {error.stderr.strip()}"
    return ""


@contextlib.contextmanager
def two_hosts(**line: float) -> Iterator[Hosts]:
    """Make two hosts, or skip the test; they are gone afterwards whatever happens."""
    if why := why_not():
        pytest.skip(why)
    remove_left_overs()
    if line and not os.path.exists("/dev/net/tun"):
        pytest.skip("a bad line needs /dev/net/tun")
    hosts = Hosts(**line)  # type: ignore[arg-type]  # the seed is a whole number
    try:
        hosts.make()
        yield hosts
    finally:
        hosts.remove()
