"""Whose fault is a request that a release cannot read? The release before it tries to, once the client has its answer.

What the one before could not read either is the client's own, so that nobody can have a release taken back by sending
what no release can read.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

from serving.aside import Aside
from serving.bundle import Bundle
from serving.errors import BadRequestError
from serving.openapi import MOST_IN_LIST
from serving.tally import Tally

MOST_WAITING = 16
"""Bodies that wait to be read again; one more is left out, and not counted."""


class Rereader:
    """Has the former release read what the present one could not, and counts what it could."""

    def __init__(self) -> None:
        self._aside = Aside("homeroom-rereader", MOST_WAITING)

    def offer(
        self, former: Bundle, tally: Tally, body: bytes, *, is_list: bool = False, places: Collection[int] = ()
    ) -> None:
        """Return at once, and soon count in `tally.misread` what the former release can read.

        Args:
            former: reads it.
            tally: of the release that could not.
            body: as it was sent.
            is_list: whether it is a list of requests.
            places: of a list that was answered: those that could not be read; none where the whole list could not.
        """
        self._aside.soon(partial(_count, former, tally, body, is_list, places))

    def wait(self, most_s: float = 5.0) -> None:
        """Wait so long, seconds, until everything that was offered is counted."""
        self._aside.wait(most_s)


def _count(former: Bundle, tally: Tally, body: bytes, is_list: bool, places: Collection[int]) -> None:
    tally.misread += readable(former, body, is_list=is_list, places=places)  # nobody else writes it


def readable(bundle: Bundle, body: bytes, *, is_list: bool = False, places: Collection[int] = ()) -> int:
    """Return how many requests in a body a release can read; of a list those in `places`, without any 1 or 0."""
    try:
        if not is_list:
            return int(_is_readable(bundle, bundle.requests.read(body)))
        items = bundle.requests.read_many(body, MOST_IN_LIST)
    except BadRequestError:
        return 0
    if not places:
        return int(any(_is_readable(bundle, item) for item in items))
    return sum(_is_readable(bundle, items[place]) for place in places if place < len(items))


def _is_readable(bundle: Bundle, item: Any) -> bool:  # Any: the codec's Request, or a complaint
    if isinstance(item, BadRequestError):
        return False
    try:
        return bool(bundle.codec.encode(item))
    except Exception:  # a complaint, or a bug: either way that release would not have answered
        return False
