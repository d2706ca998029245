"""What a server answers with right now: a champion, perhaps a challenger and a shadow, exchanged in one assignment.

A request reads `Server.slots` once and keeps to what it found, however long it takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serving.canary import takes_part
from serving.live import Live
from serving.shadow import Shadow
from serving.tally import Tally

SlotName = Literal["champion", "challenger"]


def load_failure(version: str) -> str:
    """Return the words by which a worker's `behind` says that it tried to load a release and could not."""
    return f"{version} cannot be loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The releases that answer, all of one entry of the pointer log."""

    champion: Live
    challenger: Live | None = None
    percent: int = 0
    """Share of the students that the challenger answers."""
    shadow: Shadow | None = None
    entry: int | None = None
    """Number of the entry; None where the release is fixed."""
    former: Live | None = None
    """Who was champion before this one, as long as it is in memory; answers nobody."""

    def challenger_for(self, student: str | None) -> Live | None:
        """Return the challenger if it is to answer this student, by the pseudonym that the request carries."""
        found = self.challenger
        if found is None or found.bundle is None or not takes_part(student, found.bundle.version, self.percent):
            return None
        return found


class Server:
    """State of one worker.

    Args:
        slots: what answers at first.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        """Read once per request; exchanged as a whole."""
        self.trouble = ""
        """Why the last entry of the pointer log could not be read or not be put to use; empty when it was."""
        self.late: Callable[[], str] = str
        """Gives the same while the log has not answered yet."""
        self.changed: Callable[[], None] = lambda: None
        """Is called after an exchange of the slots."""
        self.kept: tuple[Live, ...] = ()
        """Releases that were replaced and are still in memory."""
        self.status_folder: Path | None = None
        """Where the workers of this server say what they do."""

    @classmethod
    def of(cls, live: "Live | Server") -> "Server":
        """Return a server with this one release, or the server itself."""
        return live if isinstance(live, Server) else cls(Slots(champion=live))

    @property
    def live(self) -> Live:
        """The champion, or the reason why there is none."""
        return self.slots.champion

    @property
    def behind(self) -> str:
        """Why the server does not answer by the last entry of the pointer log; empty when it does."""
        return self.trouble or self.late()

    def tallies(self) -> dict[str, Tally]:
        """Return what each release in memory did, by version."""
        slots, found = self.slots, dict[str, Tally]()
        for live in (slots.champion, slots.challenger, *self.kept):
            if live is not None and live.bundle is not None:
                version = live.bundle.version
                found[version] = found[version].plus(live.tally) if version in found else live.tally
        return found

    def close(self, drain_s: float = 10.0) -> None:
        """Answer what is waiting, in all slots, and end."""
        slots = self.slots
        for live in (slots.champion, slots.challenger, *self.kept):
            if live is not None:
                live.close(drain_s)
        if slots.shadow is not None:
            slots.shadow.close()
