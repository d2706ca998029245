"""One notification per outcome, to a Prefect notification block that HOMEROOM_NOTIFY names; nothing of students in it.

The block is loaded late, and one that fails stops nothing: what happened is in the store.
"""

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import click

from components.gate.decision import Status
from flows.settings import Settings
from serving.registry import State

Outcome = Status | Literal["rolled back", "withdrawn"]


def _to_standard_error(line: str) -> None:
    click.echo(line, err=True)


def tell(
    settings: Settings,
    application: str,
    outcome: Outcome,
    version: str,
    reason: str,
    say: Callable[[str], None] = _to_standard_error,
) -> None:
    """Notify whoever is to know of an outcome, where HOMEROOM_NOTIFY names a block.

    Args:
        settings: has the block's name, `<type>/<name>` as Prefect writes it, e.g. `slack-webhook/district`.
        application: whose release.
        outcome: what came of it.
        version: of the release.
        reason: from the decision, which names no student.
        say: is told when the notification could not be sent.
    """
    if not settings.notify:
        return
    try:
        block = _waited_for(_block(settings.notify))
        _waited_for(block.notify(f"{version}: {outcome}. {reason}", subject=f"homeroom {application}: {outcome}"))
    except Exception as error:  # whatever the block, Prefect or the way to it raises
        say(f"the notification to {settings.notify} could not be sent ({type(error).__name__})")


def tell_entry(
    settings: Settings, application: str, before: State, written: State, say: Callable[[str], None] = _to_standard_error
) -> None:
    """Notify of an entry of the log, where it is an outcome: the steps of a canary are none.

    Args:
        settings: as of `tell`.
        application: whose log.
        before: the entry before it.
        written: the entry.
        say: as of `tell`.
    """
    outcomes: dict[str, Outcome] = {"promote": "promoted", "rollback": "rolled back", "withdraw": "withdrawn"}
    outcome = outcomes.get(written.action)
    slot = written.champion
    if outcome == "withdrawn":
        slot = before.shadow if written.challenger == before.challenger else before.challenger
    if outcome is not None and slot is not None:
        tell(settings, application, outcome, slot.version, written.reason, say)


def _waited_for(value: Any) -> Any:  # Any: what Prefect returns, which depends on where it is called
    """Return a value, or what comes of one that has to be awaited."""
    if not inspect.isawaitable(value):
        return value

    async def wait() -> Any:
        return await value

    with ThreadPoolExecutor(1) as thread:  # this one may have an event loop that is at work
        return thread.submit(asyncio.run, wait()).result()


def _block(name: str) -> Any:  # Any: a block of any of Prefect's notification types
    from prefect.blocks.core import Block  # late: most installations notify nobody

    return Block.load(name)
