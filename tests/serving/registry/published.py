"""Releases to point at, published artifacts that hold next to nothing, and entries of a log by hand."""

from pathlib import Path

from components.artifacts import Lineage, Ref, Release
from components.store import Store
from serving.registry import Change, Slot

PENDING = Ref(uri="", sha256="", bytes=0, media_type="")
ONE, TWO, THREE = (Slot(version=f"tracing-{d * 12}", artifact=d * 64) for d in "abc")


def release(store: Store, digits: str, application: str = "tracing") -> Release:
    """Publish a release whose version begins with these hex digits."""
    version = f"{application}-{digits.ljust(12, '0')}"
    draft = Release(ref=PENDING, lineage=Lineage(), application=application, version=version, verdict="pass")
    with store.scratch() as folder:
        (folder / "bundle.json").write_text(version)
        return store.publish(draft, folder)


def promoting(slot: Slot, by: str = "maria") -> Change:
    return Change(action="promote", by=by, reason="better", champion=slot)


def entry_file(store: Store, number: int) -> Path:
    assert store.local_root is not None
    return store.local_root / "records" / "releases" / "tracing" / "log" / f"{number:08d}.json"
