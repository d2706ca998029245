"""The event `homeroom.drift`: sent only to a server that outlives the watch, with what an automation needs."""

from typing import Any

import prefect.events
import pytest

from flows.watching import events


def test_without_a_lasting_server_nothing_is_sent() -> None:
    assert events.emit_drift("essay_grading", "why", {}) is False


def test_the_event_names_the_application_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []

    def emit(event: str, **fields: Any) -> object:
        sent.append((event, fields))
        return object()

    monkeypatch.setattr(events, "has_lasting_server", lambda: True)
    monkeypatch.setattr(prefect.events, "emit_event", emit)
    assert events.emit_drift("essay_grading", "drift of x (alarm 3)", {"alarm": 3, "release": "essay_grading-1"})
    ((event, fields),) = sent
    assert event == "homeroom.drift"
    assert fields["resource"]["prefect.resource.id"] == "homeroom.application.essay_grading"
    assert fields["payload"] == {"alarm": 3, "release": "essay_grading-1", "reason": "drift of x (alarm 3)"}
