"""Following the pointer log: a thread of each worker looks for a new entry and has the server answer by it.

What the entry names is fetched, verified, loaded, warmed and has given its golden answers before anybody is answered by
it; then all slots are exchanged in one assignment. Whatever goes wrong, the server goes on with what it has, and says
so.
"""

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from components.artifacts import Release
from components.errors import ArtifactMissingError, DigestMismatchError, PipelineError, StoreError
from components.store import Store
from serving.errors import BundleError
from serving.live import Live, go_live, not_ready
from serving.metrics import Metrics
from serving.registry import PointerLog, Slot, State
from serving.settings import GateOverride, ServiceSettings
from serving.shadow import Shadow
from serving.slots import Server, Slots, load_failure

log = logging.getLogger("homeroom.serving")
LOOK_AROUND_S = 60.0
"""How often the whole log is listed, to see beyond a hole in it."""
LATE_S = 10.0
"""After this time without an answer from the store the server says so."""
FIRST_RETRY_S = 2.0
LAST_RETRY_S = 60.0
"""Waits between tries to load what could not be loaded, doubled from the first to the last."""
MOST_KEPT = 3
"""Releases that were replaced and stay in memory at most, once their requests are done."""
LAST_ENTRY = "last-entry"
"""File in the status folder: the entry that the server's workers answer by, for one that starts while the store is
down."""


class Source(Protocol):
    """Where entries and releases come from."""

    @property
    def name(self) -> str:
        """Which log it is: another for every application and store."""

    def latest(self) -> State | None:
        """Return the last entry. Raises StoreError."""

    def after(self, number: int) -> State | None:
        """Return the last entry after this one. Raises StoreError."""

    def load(self, slot: Slot) -> Live:
        """Return a release, ready to answer or with the reason why it is not. Raises PipelineError."""


class StoreSource:
    """Entries and releases of an artifact store, which is opened at the first use and only read.

    Args:
        settings: name the store and the application, and say how releases are served.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._store: Store | None = None

    @property
    def name(self) -> str:
        """A digest of store and application; addresses may be nobody else's business."""
        of = f"{self._settings.serve_store}\n{self._settings.serve_application}"
        return hashlib.sha256(of.encode()).hexdigest()[:16]

    def latest(self) -> State | None:
        """Return the last entry."""
        return self._log().latest()

    def after(self, number: int) -> State | None:
        """Return the last entry after this one."""
        return self._log().after(number)

    def load(self, slot: Slot) -> Live:
        """Fetch a release, verify it against its digests and its signature, load it, and replay its golden requests."""
        store = self._opened()
        try:
            release = store.find(slot.artifact)
            if not isinstance(release, Release) or release.version != slot.version:
                raise BundleError(f"The artifact of {slot.version} is not that release. Promote another, or again.")
            folder = store.folder(release)
        except (ArtifactMissingError, DigestMismatchError):
            raise
        except StoreError:
            # While the store is away a copy that was fetched before will do: the bundle verifies itself.
            folder = store.cache / "artifacts" / slot.artifact
            if store.local_root is not None or not folder.is_dir():
                raise
        live = go_live(self._settings, folder)
        if live.bundle is not None and live.bundle.version != slot.version:
            live.close()
            return not_ready(self._settings, f"What was released as {slot.version} is {live.bundle.version}.")
        return live

    def _log(self) -> PointerLog:
        return PointerLog(self._opened(), self._settings.serve_application or "")

    def _opened(self) -> Store:
        if self._store is None:
            url, cache = self._settings.serve_store or "", self._settings.serve_cache
            self._store = Store(url, cache=cache if "://" in url else None)
        return self._store


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A release that was replaced."""

    live: Live
    since: float


class Follower:
    """Has a server answer by the last entry of a log. Only one thread may call `step`.

    Args:
        server: whose slots are exchanged.
        source: of entries and releases.
        metrics: count swaps and failures.
        keep_s: how long what was replaced stays in memory, so that it can be taken back without loading.
        drain_s: how long a request may take: nothing is closed before.
        clock: seconds.
    """

    def __init__(
        self,
        server: Server,
        source: Source,
        metrics: Metrics,
        *,
        keep_s: float = 900.0,
        drain_s: float = 25.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._source = source
        self._metrics = metrics
        self._keep_s = keep_s
        self._drain_s = drain_s
        self._clock = clock
        self._seen: int | None = None
        self._wanted: State | None = None
        self._retry_at = 0.0
        self._wait_s = FIRST_RETRY_S
        self._looked_around = clock()
        self._asked_at: float | None = None
        self._unread = ""
        self._unloaded = ""
        self._lives: dict[str, Live] = {}
        self._kept: dict[str, Kept] = {}
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        server.late = self._late

    def start(self, poll_s: float) -> None:
        """Look once, now, then every `poll_s` seconds in a thread."""
        self.step()
        if self._seen is None:
            self._take_last_known()
        self._thread = threading.Thread(target=self._work, args=(poll_s,), name="homeroom-follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking. A look that the store does not answer is not waited for."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def step(self) -> None:
        """Look for a new entry, and have the server answer by it."""
        server = self._server
        before = (server.slots, server.trouble)
        self._look()
        if self._wanted is not None and self._clock() >= self._retry_at:
            self._apply(self._wanted)
        self._drop_old()
        server.trouble = " ".join(filter(None, (self._unread, self._unloaded)))
        champion = server.slots.champion
        if server.trouble and champion.bundle is None and champion.reason != server.trouble:
            server.slots = replace(server.slots, champion=replace(champion, reason=server.trouble))
        if before[0] is not server.slots or before[1] != server.trouble:
            server.changed()

    # -- the log -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._asked_at = self._clock()
        try:
            found = self._next()
        except PipelineError as error:
            if not self._unread:
                log.error("The pointer log cannot be read: %s", error)
            self._unread = f"The pointer log cannot be read, so what serves is what served before: {error}"
            self._metrics.pointer_failure()
            return
        finally:
            self._asked_at = None
        if self._unread:
            log.info("The pointer log can be read again")
        self._unread = ""
        if found is not None:
            self._seen = found.number
            self._want(found)

    def _next(self) -> State | None:
        """Return a new entry; at first, and now and then, by listing the whole log."""
        now = self._clock()
        if self._seen is not None and now - self._looked_around < LOOK_AROUND_S:
            return self._source.after(self._seen)
        found = self._source.latest()
        self._looked_around = now
        if found is None:
            self._seen = self._seen or 0
            if self._server.slots.champion.bundle is None:
                reason = "There is no release yet; promote one: `homeroom promote VERSION`."
                self._server.slots = replace(
                    self._server.slots, champion=replace(self._server.slots.champion, reason=reason), entry=0
                )
            return None
        return found if self._seen is None or found.number > self._seen else None

    def _want(self, state: State) -> None:
        self._wanted, self._retry_at, self._wait_s = state, 0.0, FIRST_RETRY_S

    def _late(self) -> str:
        asked_at = self._asked_at
        if asked_at is None or (waited := self._clock() - asked_at) < LATE_S:
            return ""
        return f"The store has not answered for {waited:.0f} s; what serves is what served before."

    def _take_last_known(self) -> None:
        """Answer by the entry that this server's other workers wrote down; the store cannot be asked."""
        folder = self._server.status_folder
        if folder is None:
            return
        try:
            written = json.loads((folder / LAST_ENTRY).read_bytes())
            if written["log"] != self._source.name:  # the folder was another server's
                return
            state = State.from_json(written["entry"])
        except (OSError, KeyError, TypeError, ValueError):
            return
        log.warning("The store cannot be asked; entry %d, which this server answered by, is taken", state.number)
        self._want(state)
        self.step()

    # -- the slots ---------------------------------------------------------------------------------------------------

    def _apply(self, state: State) -> None:
        """Load what `state` names and exchange the slots; where the champion fails, nothing is exchanged."""
        before = self._server.slots
        problems: list[str] = []
        loaded: dict[str, Live] = {}
        champion = self._take(state.champion, "champion", loaded, problems)
        if champion is None and state.champion is not None:
            self._fail(problems, loaded)
            return
        if champion is None:
            champion = replace(before.champion, bundle=None, batcher=None, reason="No release is to serve.")
        else:
            word = None if state.champion is None else state.champion.override
            given = None if word is None else GateOverride.model_validate(word.to_json())
            if champion.gate_override != given:
                champion = replace(champion, gate_override=given)
        challenger = self._take(state.challenger, "challenger", loaded, problems)
        in_shadow = self._take(state.shadow, "shadow", loaded, problems)
        shadow = before.shadow
        if in_shadow is None or in_shadow.bundle is None:
            shadow = None
        elif shadow is None or shadow.bundle is not in_shadow.bundle:
            shadow = Shadow(in_shadow.bundle, self._told(in_shadow.bundle.version))
        named = {
            slot.artifact: live
            for slot, live in (
                (state.champion, champion),
                (state.challenger, challenger),
                (state.shadow, in_shadow),
            )
            if slot is not None and live is not None
        }
        self._server.slots = Slots(
            champion=champion,
            challenger=challenger,
            percent=state.challenger.percent if state.challenger is not None and challenger is not None else 0,
            shadow=shadow,
            entry=state.number,
            former=before.former if champion.bundle is before.champion.bundle else before.champion,
        )
        self._retire(named)
        if before.shadow is not None and before.shadow is not shadow:
            before.shadow.close()
        if champion.bundle is not None and champion.bundle is not before.champion.bundle:
            self._metrics.swap(champion.bundle.version)
        if before.entry != state.number:
            log.info("Answering by %s", state.sentence())
            self._write_down(state)
        if problems:
            self._again(problems)
        else:
            self._wanted, self._unloaded = None, ""

    def _take(self, slot: Slot | None, name: str, loaded: dict[str, Live], problems: list[str]) -> Live | None:
        """Return the release of a slot: from memory, or loaded; None, with a problem, where it cannot be had."""
        if slot is None:
            return None
        kept = self._kept.get(slot.artifact)
        found = self._lives.get(slot.artifact) or (kept.live if kept else None) or loaded.get(slot.artifact)
        if found is not None:
            return found
        try:
            live = self._source.load(slot)
            reason = live.reason
        except PipelineError as error:
            reason = str(error)
        except Exception as error:  # whatever it is, what serves goes on
            reason = f"{type(error).__name__} while loading it."
        if not reason:
            loaded[slot.artifact] = live
            return live
        self._metrics.failed_load(slot.version)
        log.error("The %s %s cannot be loaded: %s", name, slot.version, reason)
        problems.append(f"The {name} {load_failure(slot.version)}: {reason}")
        return None

    def _fail(self, problems: list[str], loaded: dict[str, Live]) -> None:
        for live in loaded.values():
            live.close()
        self._again(problems)

    def _again(self, problems: list[str]) -> None:
        self._unloaded = " ".join(problems)
        self._retry_at = self._clock() + self._wait_s
        self._wait_s = min(LAST_RETRY_S, 2 * self._wait_s)

    def _retire(self, named: dict[str, Live]) -> None:
        now = self._clock()
        for artifact, live in self._lives.items():
            if artifact not in named:
                self._kept[artifact] = Kept(live=live, since=now)
        for artifact in named:
            self._kept.pop(artifact, None)
        self._lives = named
        self._server.kept = tuple(kept.live for kept in self._kept.values())

    def _drop_old(self) -> None:
        """Close what was replaced long ago, or is one too many; never while a request may still be with it."""
        now = self._clock()
        by_age = sorted(self._kept.items(), key=lambda item: item[1].since, reverse=True)
        for place, (artifact, kept) in enumerate(by_age):
            age = now - kept.since
            if age > self._drain_s and (age > self._keep_s or place >= MOST_KEPT):
                del self._kept[artifact]
                self._server.kept = tuple(one.live for one in self._kept.values())
                former = self._server.slots.former
                if former is not None and former.bundle is kept.live.bundle:
                    self._server.slots = replace(self._server.slots, former=None)
                kept.live.close()

    def _told(self, version: str) -> Callable[[str, float | None], None]:
        return lambda outcome, difference: self._metrics.shadow(version, outcome, difference)

    def _write_down(self, state: State) -> None:
        folder = self._server.status_folder
        if folder is None:
            return
        part = folder / f"{LAST_ENTRY}.{os.getpid()}"
        try:
            part.write_text(json.dumps({"log": self._source.name, "entry": state.to_json()}), encoding="utf-8")
            os.replace(part, folder / LAST_ENTRY)
        except OSError as error:
            log.warning("The entry could not be written down: %s", error.strerror or type(error).__name__)

    def _work(self, poll_s: float) -> None:
        while not self._ending.wait(poll_s):
            try:
                self.step()
            except Exception as error:  # it must go on
                log.error("%s while following the log", type(error).__name__)
