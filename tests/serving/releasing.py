"""Releases in a store, and the log that says which of them serve, for tests of servers that follow it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.artifacts import Lineage, Ref, Release
from components.store import Store
from serving.registry import Challenger, Change, PointerLog, Slot, State
from tests.serving.bundles import shifted_reference, tracing_model, tracing_reference, write_bundle

PENDING = Ref(uri="", sha256="", bytes=0, media_type="")
APPLICATION = "knowledge_tracing"


def release_of(store: Store, write: Callable[[Path], str], application: str = APPLICATION) -> Slot:
    """Publish the bundle that `write` writes to a folder and returns the version of; return it for a slot."""
    with store.scratch() as scratch:
        folder = scratch / "bundle"
        version = write(folder)
        draft = Release(ref=PENDING, lineage=Lineage(), application=application, version=version, verdict="pass")
        made = store.publish(draft, folder)
    return Slot(version=version, artifact=made.sha256)


def plain(folder: Path, **options: Any) -> str:
    """Write a bundle of the model without a shift."""
    return write_bundle(folder, model=tracing_model(), reference=tracing_reference, **options)


def shifted(folder: Path, **options: Any) -> str:
    """Write a bundle of the model whose logits are 1 larger."""
    return write_bundle(folder, model=tracing_model(shift=1.0), reference=shifted_reference, **options)


def say(
    log: PointerLog,
    action: Any,
    champion: Slot,
    challenger: tuple[Slot, int] | None = None,
    shadow: Slot | None = None,
) -> State:
    """Append an entry with these slots."""
    last = log.latest()
    other = None
    if challenger is not None:
        slot, percent = challenger
        other = Challenger(version=slot.version, artifact=slot.artifact, percent=percent)
    change = Change(action=action, by="a test", reason="try", champion=champion, challenger=other, shadow=shadow)
    return log.append(change, expected=0 if last is None else last.number)
