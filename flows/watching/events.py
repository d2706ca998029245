"""The drift as an event in Prefect, by which an automation can start a deployment."""

from components.artifacts import JsonValue
from flows.crashes import has_lasting_server

EVENT = "homeroom.drift"


def emit_drift(application: str, reason: str, payload: dict[str, JsonValue]) -> bool:
    """Send the event `homeroom.drift`; return whether there is a server that takes it. The payload has `reason`."""
    if not has_lasting_server():
        return False
    from prefect.events import emit_event

    resource = {"prefect.resource.id": f"homeroom.application.{application}", "prefect.resource.name": application}
    return emit_event(EVENT, resource=resource, payload={**payload, "reason": reason}) is not None
