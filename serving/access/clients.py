"""Who asks: a client of the service, its roles, and how much it may ask."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["grade", "override", "approve", "read"]
ROLES: tuple[Role, ...] = get_args(Role)
"""`grade`: predictions and grades; `override`: teachers' corrections; `approve`: a word on releases; `read`: version,
card, metrics, rubrics."""
CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}")
"""What a client may be called: it is written to logs, so it holds nothing that could forge a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program or person that has shown a key or token. Found in `scope["state"]["client"]`."""

    id: str
    roles: frozenset[str]
    district: str | None = None
    rate: float = 20.0
    """Requests per second that may go on for ever."""
    burst: int = 40
    """Requests that may come at once after a rest."""


EVERYBODY = Client(id="everybody", roles=frozenset(ROLES), rate=0.0)
"""Whoever asks a server that has no keys; a rate of 0 is no limit."""
