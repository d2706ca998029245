"""`homeroom diff`: how two releases differ."""

import click


@click.command()
@click.argument("one")
@click.argument("other")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diff(one: str, other: str, as_json: bool) -> None:
    """Say how release OTHER differs from release ONE: files, figures, limits, codec, data, code and configuration.

    Both are named by version, its beginning, or an application's name for its current release.

    \b
    Example:
      homeroom diff knowledge_tracing knowledge_tracing-1a2b3c4d5e6f
    """
    from flows.cli.said import plain, table
    from flows.differences import differences_between
    from flows.releases import find_release
    from flows.settings import Settings

    settings = Settings()
    store = settings.open_store()
    found = differences_between(store, find_release(store, one), find_release(store, other), settings.trusted_keys())
    if as_json:
        plain(found)
        return
    before, after = found["versions"]
    table([("", before, after), *((name, *map(_number, values)) for name, values in found["figures"].items())])
    click.echo(f"codec: {found['codec']}")
    for title in ("files", "limits"):
        click.echo(f"{title}: " + ("all alike" if not found[title] else ""))
        for name, change in found[title].items():
            click.echo(f"  {name}: {change if isinstance(change, str) else _arrow(change)}")
    click.echo("made in the same way" if not found["lineage"] else "made differently:")
    for stage, parts in found["lineage"].items():
        for part, changes in parts.items():
            if isinstance(changes, dict):
                for name, change in changes.items():
                    click.echo(f"  {stage}: {part} {name}: {_arrow(change)}")
            else:
                click.echo(f"  {stage}: {part}: {_arrow(changes) if isinstance(changes, list) else changes}")


def _number(value: object) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _arrow(change: list[object]) -> str:
    return " -> ".join("none" if value is None else str(value) for value in change)
