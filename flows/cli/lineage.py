"""`homeroom lineage`: from a release back to the raw files."""

import json
from typing import Any

import click


@click.command()
@click.argument("release")
@click.option("--json", "as_json", is_flag=True, help="Print the whole tree as JSON.")
def lineage(release: str, as_json: bool) -> None:
    """Walk from RELEASE (a version, its beginning, or an application's name) back to the raw files.

    \b
    Example:
      homeroom lineage knowledge_tracing-1a2b3c4d5e6f
    """
    from flows.lineage import lineage_tree
    from flows.releases import find_release
    from flows.settings import Settings

    store = Settings().open_store()
    found = find_release(store, release)
    tree = lineage_tree(store, found)
    if as_json:
        click.echo(json.dumps({"version": found.version, **tree}, indent=1))
        return
    click.echo(found.version)
    _print(tree, 0, set())


def _print(node: dict[str, Any], depth: int, shown: set[str]) -> None:
    again = node["sha256"] in shown
    stage = f" by {node['stage']}" if node["stage"] else ""
    when = f", {node['started_utc']}" if node.get("started_utc") else ""
    gone = f" (files deleted for good at {node['retired']})" if node.get("retired") else ""
    click.echo(
        f"{'  ' * depth}{node['kind']} {node['sha256'][:12]}{stage}{when}{gone}{' (see above)' if again else ''}"
    )
    if again:
        return
    shown.add(node["sha256"])
    for file in node.get("files", []):
        click.echo(f"{'  ' * (depth + 1)}{file['uri']} {file['sha256'][:12]}")
    for other in node["also_from"]:
        click.echo(f"{'  ' * (depth + 1)}(the same bytes were also made from {other[:12]})")
    for parent in node["parents"]:
        _print(parent, depth + 1, shown)
