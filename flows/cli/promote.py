"""`homeroom promote` and `homeroom rollback`: which release serves, by a person's word."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flows.cli.options import change_options

if TYPE_CHECKING:
    from serving.registry import State

F = TypeVar("F", bound=Callable[..., Any])


def wait_options() -> Callable[[F], F]:
    """Return a decorator that adds the options which `_wait` reads."""
    url = click.option("--wait", metavar="URL", help="Wait until all workers of the server at URL answer by it.")
    most = click.option("--wait-s", type=float, default=60.0, show_default=True, help="Seconds to wait at most.")
    return lambda function: url(most(function))


def _wait(url: str | None, seconds: float, state: "State | None") -> None:
    """Wait for the workers of a server, if one was named; they may be behind, but what was written stays written."""
    from serving.supervise.waiting import version_of, wait_until_live

    if url is not None and state is not None and state.champion is not None:
        version = state.champion.version
        workers = wait_until_live(lambda: version_of(url), version, seconds, entry=state.number)
        click.echo(f"{version} is live on all workers ({workers}) of {url}", err=True)


@click.command()
@click.argument("version")
@change_options()
@click.option(
    "--canary", type=click.IntRange(1, 99), metavar="PERCENT", help="Give it this share of the students only."
)
@click.option("--shadow", is_flag=True, help="Let it answer beside the current release, seen by nobody.")
@wait_options()
def promote(
    version: str,
    canary: int | None,
    shadow: bool,
    as_json: bool,
    wait: str | None,
    wait_s: float,
    **options: Any,
) -> None:
    """Make the release VERSION (or the only one that begins like this) serve, where the gate lets it.

    A release that the gate stops serves only by an override: with a name, a reason and a last day. Where the
    configuration asks for people's approval, see `homeroom approve`.

    \b
    Example:
      homeroom promote knowledge_tracing-1a2b3c4d5e6f --reason "the council approved it"
      homeroom promote knowledge_tracing-1a2b3c4d5e6f --canary 10
      homeroom promote knowledge_tracing-1a2b3c4d5e6f --override-by "A. Mensah" \\
        --reason "the council accepted the gap for this term" --until 2027-01-31
    """
    from components.gate.override import make_override
    from flows.cli.said import say_change
    from flows.notices import tell
    from flows.promotion import promote_by_hand, put_beside
    from flows.settings import Settings
    from serving.registry import ReleaseRegistry

    if canary is not None and shadow:
        raise click.UsageError("--canary and --shadow exclude each other.")
    settings = Settings()
    store = settings.open_store()
    registry = ReleaseRegistry(store)
    release = registry.find(version)
    given = (options["override_by"], options["reason"], options["until"])
    override = make_override(*given) if options["override_by"] is not None or options["until"] is not None else None
    reason = options["reason"] or "by hand"
    if canary is not None or shadow:
        decision = put_beside(store, release, reason, canary, override, by=options["by"])
    else:
        decision = promote_by_hand(store, release, reason, override, by=options["by"])
        tell(settings, release.application, decision.status, decision.version, decision.reason)
    latest = registry.log(release.application).latest()
    say_change(latest, decision, as_json, by_entry=canary is not None or shadow)
    _wait(wait, wait_s, latest)


@click.command()
@click.argument("application")
@change_options()
@click.option("--to", metavar="VERSION", help="The release to go back to; by default the one before the current one.")
@click.option("--withdraw", type=click.Choice(["challenger", "shadow"]), help="Only end the canary, or the shadow.")
@wait_options()
def rollback(
    application: str,
    to: str | None,
    withdraw: Any,
    as_json: bool,
    wait: str | None,
    wait_s: float,
    **options: Any,
) -> None:
    """Make the release of APPLICATION serve that served before the current one, or the one that --to names.

    \b
    Example:
      homeroom rollback knowledge_tracing --reason "teachers saw odd answers"
      homeroom rollback knowledge_tracing --withdraw challenger
    """
    from components.app import load_application
    from components.gate.override import make_override
    from flows.cli.said import say_change
    from flows.notices import tell, tell_entry
    from flows.promotion import roll_back
    from flows.settings import Settings
    from serving.registry import ReleaseRegistry

    if withdraw is not None and to is not None:
        raise click.UsageError("--withdraw changes no champion; leave --to out.")
    settings = Settings()
    store = settings.open_store()
    registry = ReleaseRegistry(store)
    name = load_application(application).name
    given = (options["override_by"], options["reason"], options["until"])
    override = make_override(*given) if options["override_by"] is not None or options["until"] is not None else None
    reason = options["reason"] or "by hand"
    if withdraw is not None:
        before = registry.log(name).latest()
        number = None if before is None else before.number
        state = registry.withdraw(name, reason, withdraw, by=options["by"], expected=number)
        assert before is not None  # something was withdrawn
        tell_entry(settings, name, before, state)
        say_change(state, None, as_json)
        _wait(wait, wait_s, state)
        return
    decision = roll_back(store, name, reason, to, override, by=options["by"])
    latest = registry.log(name).latest()
    assert latest is not None
    assert latest.champion is not None
    tell(settings, name, "rolled back", latest.champion.version, reason)
    say_change(latest, decision, as_json, by_entry=True)
    _wait(wait, wait_s, latest)
