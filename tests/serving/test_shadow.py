"""A shadow never makes anybody wait: what it cannot take is dropped, what it cannot answer is counted."""

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest

from serving.bundle import Bundle
from serving.shadow import Shadow
from tests.serving.bundles import probability_of, request_of

BODY = json.dumps(request_of(2)).encode()


def until(shadow: Shadow, number: int) -> None:
    end = time.monotonic() + 10
    while shadow.comparison.compared + shadow.comparison.failed < number:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_while_it_is_busy_copies_are_dropped_and_offering_one_takes_no_time(
    tracing: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, told = threading.Event(), Counter[str]()
    real = Bundle.answer

    def slow(self: Bundle, requests: Any) -> Any:
        assert go.wait(10)
        return real(self, requests)

    monkeypatch.setattr(Bundle, "answer", slow)
    shadow = Shadow(tracing, lambda outcome, difference: told.update([outcome]), most_waiting=4)
    begin = time.monotonic()
    for _ in range(100):
        shadow.offer(BODY, 0.5)
    assert time.monotonic() - begin < 5, "it waited for the shadow"
    assert shadow.comparison.dropped >= 95, "four wait, and one may be under way"
    go.set()
    until(shadow, 100 - shadow.comparison.dropped)
    shadow.close()
    assert shadow.comparison.compared == 100 - shadow.comparison.dropped
    assert told == {"compared": shadow.comparison.compared, "dropped": shadow.comparison.dropped}
    assert shadow.comparison.signed.mean == pytest.approx(probability_of(2) - 0.5, abs=1e-6)


def test_what_it_cannot_read_is_counted_and_it_goes_on(tracing: Bundle) -> None:
    shadow = Shadow(tracing)
    shadow.offer(b'{"scores": [1.0]}', 0.5)
    shadow.offer(BODY, None)
    until(shadow, 2)
    shadow.close()
    shadow.offer(BODY, 0.5)
    found = shadow.comparison
    assert (found.failed, found.compared, found.dropped, found.signed.count) == (1, 1, 1, 0)
