"""The log of a server's processes, shown to whoever started it, in a file that stays small."""

import time
from pathlib import Path

from serving.relay import Relay, relayed


def test_whole_lines_are_shown_once_and_in_order_and_the_file_stays_small(tmp_path: Path) -> None:
    path, shown = tmp_path / "server.log", list[str]()
    relay = Relay(path, shown.append, most_bytes=1_000)
    with path.open("ab", buffering=0) as process:  # as the server's processes have it, for as long as they live
        for number in range(200):
            process.write(f"line {number} is h".encode())
            relay.step()
            process.write("älf\n".encode())
            if number % 3 == 0:
                relay.step()
            assert path.stat().st_size < 1_100
        relay.step()
    assert "".join(shown) == "".join(f"line {number} is hälf\n" for number in range(200))
    assert all(text.endswith("\n") for text in shown)


def test_a_file_that_somebody_emptied_is_read_from_its_start(tmp_path: Path) -> None:
    path, shown = tmp_path / "server.log", list[str]()
    relay = Relay(path, shown.append)
    path.write_text("one\ntwo\n")
    relay.step()
    path.write_text("three\n")
    relay.step()
    assert shown == ["one\ntwo\n", "three\n"]


def test_a_terminal_that_was_closed_ends_nothing(tmp_path: Path) -> None:
    path, shown = tmp_path / "server.log", list[str]()
    path.write_text("before\n")

    def show(text: str) -> None:
        shown.append(text)
        raise BrokenPipeError

    with relayed(path, show):
        end = time.monotonic() + 10
        while not shown and time.monotonic() < end:
            time.sleep(0.01)
        with path.open("a") as stream:
            stream.write("after\n")
    assert "".join(shown) == "before\nafter\n", "what came last is shown too"
