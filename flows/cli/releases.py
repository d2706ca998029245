"""`homeroom releases`: what serves, what did, and the way back."""

import click


@click.command()
@click.argument("application")
@click.option("--rollback", is_flag=True, help="Make the release before the current one serve again.")
@click.option("--to", metavar="VERSION", help="With --rollback: the release to go back to.")
@click.option("--promote", metavar="VERSION", help="Make this release serve, whatever the comparison said.")
@click.option("--reason", default="by hand", show_default=True, help="With --rollback or --promote: for the record.")
def releases(application: str, rollback: bool, to: str | None, promote: str | None, reason: str) -> None:
    """List the changes of what serves for APPLICATION, latest last, or go back to an earlier release.

    \b
    Example:
      homeroom releases knowledge_tracing --rollback
      homeroom releases knowledge_tracing --promote knowledge_tracing-1a2b3c4d5e6f --reason "the council approved it"
    """
    from components.app import load_application
    from flows.settings import Settings
    from serving.registry import ReleaseRegistry

    registry = ReleaseRegistry(Settings().open_store())
    name = load_application(application).name
    if to is not None and not rollback:
        raise click.UsageError("--to goes with --rollback.")
    if promote is not None and rollback:
        raise click.UsageError("--promote and --rollback exclude each other.")
    if promote is not None:
        registry.promote(registry.find(promote, name), reason)
    if rollback:
        registry.rollback(name, reason, to)
    for entry in registry.history(name):
        click.echo(f"{entry.since}  {entry.action:<8}  {entry.version}  {entry.reason}")
    current = registry.current(name)
    click.echo(f"current: {current.version}" if current else "nothing serves yet")
