"""How Prefect's server hears that a run died: heartbeats, and an automation that marks the run Crashed when they stop.

Prefect's own heartbeats come at most every 30 s, and any run on the server may send them with another period. So
homeroom sends its own, every 10 s, and the automation listens to these alone: no other flow on the server is touched.
"""

import contextlib
import contextvars
import queue
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Crashed

from components.store import Store
from components.upkeep import leases

BEAT_S = 10.0
WITHIN_S = 45
"""How long the server waits for a heartbeat. It looks every 5 s, so a dead run is Crashed within about 50 s."""
HEARTBEAT = "homeroom.run.heartbeat"
ENDED = "homeroom.run.ended"
AUTOMATION = "homeroom: a run whose heartbeats stopped has crashed"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
MESSAGE = f"The process of this run is gone: no heartbeat for {WITHIN_S} s. The same request goes on from there."
MESSAGE_LEASE = "The process of this run is gone, as its lease in the store shows. The same request goes on from there."


def has_lasting_server() -> bool:
    """Return whether runs report to a server that outlives them; a temporary one runs no automations."""
    return get_current_settings().api.url is not None


@contextlib.contextmanager
def heartbeats() -> Iterator[None]:
    """Send heartbeats of the flow run that is running, from a thread, until the block ends."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not has_lasting_server():
        yield
        return
    resource = {"prefect.resource.id": f"prefect.flow-run.{context.flow_run.id}"}
    over = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(Exception):  # whatever Prefect raises: a beat may be lost, the run goes on
                emit_event(HEARTBEAT, resource=resource)
            if over.wait(BEAT_S):
                return

    # A copy: the thread must report to the same server.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(beat,), name="heartbeats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)
        # On the same way as the beats, and after them: a late beat cannot make a run that has ended look dead.
        with contextlib.suppress(Exception):
            emit_event(ENDED, resource=resource)


def drop_events() -> None:
    """Drop the events that wait for a server that is gone.

    Prefect 3.8 tries for seven seconds at each of them before it lets the process end; it has no public call for this.
    """
    for worker in list(getattr(EventsWorker, "_instances", {}).values()):
        waiting: queue.Queue[object] | None = getattr(worker, "_queue", None)
        with contextlib.suppress(queue.Empty):
            while waiting is not None:
                waiting.get_nowait()
                waiting.task_done()


def automation() -> AutomationCore:
    """Return the automation that marks a run Crashed when its heartbeats stop."""
    return AutomationCore(
        name=AUTOMATION,
        enabled=True,  # said, as an update sends only what was set
        description="Installed by homeroom; `homeroom doctor` looks whether it is there.",
        trigger=EventTrigger(
            after={HEARTBEAT},
            expect={HEARTBEAT, ENDED, *(f"prefect.flow-run.{state}" for state in ENDS)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=WITHIN_S),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=MESSAGE)],
    )


def is_installed() -> bool:
    """Return whether the server in use has the automation, switched on and as this version wants it."""
    return _find()[1]


def install(*, only_missing: bool = False) -> bool:
    """Install the automation at the server in use, or bring it up to date; return whether anything was to do.

    Args:
        only_missing: leave one that is there as it is: somebody may have switched it off on purpose.
    """
    identities, good = _find()
    if good or (identities and only_missing):
        return False
    with get_client(sync_client=True) as client:
        if identities:
            client.update_automation(identities[0], automation())
        else:
            client.create_automation(automation())
    return True


def _find() -> tuple[list[UUID], bool]:
    """Return the automations of our name at the server, and whether one of them is as it should be."""
    wanted = automation()
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(AUTOMATION)
    return [one.id for one in found], any(one.enabled and _same(one, wanted) for one in found)


def _same(one: AutomationCore, other: AutomationCore) -> bool:
    a, b = one.trigger, other.trigger
    return (
        isinstance(a, EventTrigger)
        and isinstance(b, EventTrigger)
        and (a.after, a.expect, a.for_each, a.posture, a.within) == (b.after, b.expect, b.for_each, b.posture, b.within)
        and [action.type for action in one.actions] == [action.type for action in other.actions]
    )


def mark_dead_runs(store: Store) -> int:
    """Mark the flow runs Crashed whose leases in the store show that they died; return how many.

    For runs under a temporary server, which has no automations, and for those that died while the server was away.
    """
    dead = [UUID(lease.flow_run) for lease in leases.dead(store) if lease.flow_run]
    marked = 0
    if not dead:
        return marked
    with get_client(sync_client=True) as client:
        for identity in dead:
            with contextlib.suppress(ObjectNotFound):  # another server's
                run = client.read_flow_run(identity)
                if run.state is not None and not run.state.is_final():
                    client.set_flow_run_state(identity, Crashed(message=MESSAGE_LEASE), force=True)
                    marked += 1
    return marked
