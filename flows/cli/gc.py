"""`homeroom gc`: what the store no longer needs, and its deletion."""

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from components.upkeep.garbage import Garbage


@click.command()
@click.option("--keep-runs", default=3, show_default=True, help="Latest runs of each application to keep.")
@click.option(
    "--keep-days", default=30.0, show_default=True, help="Keep runs and results that were used within so many days."
)
@click.option(
    "--grace-hours",
    default=24.0,
    show_default=True,
    help="Delete nothing younger than this; longer than any run takes. 0 only while nothing runs.",
)
@click.option("--drop-unserved", is_flag=True, help="Also give up releases that never served and have no kept run.")
@click.option("--delete", is_flag=True, help="Delete it. Without this, nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable list.")
def gc(keep_runs: int, keep_days: float, grace_hours: float, drop_unserved: bool, delete: bool, as_json: bool) -> None:
    """Show what the store no longer needs, with bytes and reasons; with --delete, delete it.

    Kept are all registered releases, the latest runs of each application, what a schedule goes on from, what was used
    lately, and everything that these were made from. May run beside runs.

    \b
    Example:
      homeroom gc
      homeroom gc --keep-runs 5 --keep-days 90 --delete
    """
    from flows.garbage import Retention, delete_garbage_of, garbage_of, scheduled_requests
    from flows.settings import Settings

    retention = Retention(
        keep_runs=keep_runs, keep_days=keep_days, grace_hours=grace_hours, drop_unserved=drop_unserved
    )
    store = Settings().open_store()
    scheduled = scheduled_requests()

    def say(one: "Garbage") -> None:
        if not as_json:
            click.echo(f"{one.kind:<14} {_size(one.bytes):>9}  {one.path}: {one.reason}")

    if delete:
        found = delete_garbage_of(store, retention, scheduled=scheduled, say=say)
    else:
        found = garbage_of(store, retention, scheduled=scheduled)
        for one in found:
            say(one)
    total = sum(one.bytes for one in found)
    if as_json:
        things = [{"kind": o.kind, "path": o.path, "bytes": o.bytes, "reason": o.reason} for o in found]
        click.echo(json.dumps({"store": store.url, "deleted": delete, "bytes": total, "garbage": things}, indent=1))
        return
    counts = ", ".join(f"{count} x {kind}" for kind, count in sorted(Counter(o.kind for o in found).items()))
    if not found:
        click.echo(f"Nothing to delete in {store.url}.")
    elif delete:
        click.echo(f"Deleted from {store.url}: {counts}; {_size(total)}.")
    else:
        click.echo(f"Could go from {store.url}: {counts}; {_size(total)}. Nothing was changed; --delete does it.")


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
