"""`homeroom serve`: a release over HTTP."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from flows.cli.access import access_options, access_settings

STOPPING = (signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.argument("release")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--overrides/--no-overrides",
    default=True,
    show_default=True,
    help="Keep the scores that teachers correct on the page of a grading release, in HOMEROOM_OVERRIDES.",
)
@access_options
def serve(
    release: str,
    host: str,
    port: int,
    overrides: bool,
    keys: Path | None,
    is_open: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Serve RELEASE (a version, its beginning, or an application's name for its current one) until Ctrl-C.

    The service is ready (GET /readyz) once it has verified the bundle's digests and signature and has given the golden
    answers. POST /v1/predict asks; / is the page for teachers where the release grades, /api shows the API. SIGTERM and
    SIGHUP stop it as Ctrl-C does.

    Where there are keys (`homeroom keys`) a client must show one; without any, only this machine is answered.

    \b
    Example:
      homeroom serve knowledge_tracing --port 3000
    """
    from components.app import load_application
    from components.errors import StoreError
    from components.gate.override import today_utc
    from components.gate.records import DecisionRecords
    from flows.releases import take_release
    from flows.settings import Settings
    from serving.errors import ServerStartError
    from serving.run import start

    settings = Settings()
    store = settings.open_store()
    found = take_release(store, release)
    takes_overrides = overrides and load_application(found.application).kind.takes_overrides
    folder = settings.overrides / found.application
    environment, tls = access_settings(host, keys, is_open, tls_cert, tls_key)
    if takes_overrides:
        environment["HOMEROOM_SERVE_OVERRIDES"] = str(folder)
        environment["HOMEROOM_SERVE_PSEUDONYM_KEY"] = str(settings.pseudonym_key_file())
    try:
        decision = DecisionRecords(store).latest(found.application, found.version)
    except StoreError as error:  # it was promoted already: a server does not stay away for that
        click.echo(f"warning: {error}", err=True)
        decision = None
    if decision is not None and decision.outcome == "stop":
        given, today = decision.override, today_utc()
        told = "no override was given: for a look, not for students" if given is None else given.sentence(today)
        click.echo(f"warning: the gate stops {found.version}; {told}", err=True)
        if given is not None:
            environment["HOMEROOM_SERVE_GATE_OVERRIDE"] = json.dumps(given.to_json())
    with (
        _stoppable(),
        start(
            store.folder(found),
            port or None,
            host,
            key_file=settings.signing_key_file(),
            environment=environment,
            tls=tls,
        ) as server,
    ):
        click.echo(f"{found.version} is ready on {server.url} (API: {server.url}/api, stop with Ctrl-C)", err=True)
        if takes_overrides:
            click.echo(f"Page for teachers: {server.url}/; their overrides are kept in {folder}", err=True)
        try:
            status = server.process.wait()
        except KeyboardInterrupt:
            return
    raise ServerStartError(
        f"The server ended by itself with exit status {status}. The end of its log:\n{server.log_tail()}"
    )


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let the signals that end a process end this one in the usual way; afterwards they do what they did before."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # `nohup` has SIGHUP ignored, and that stays
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    """End this process in the usual way, so that the server is stopped too."""
    for one in STOPPING:
        signal.signal(one, signal.SIG_IGN)  # a second one must not interrupt the stopping
    sys.exit(128 + number)
