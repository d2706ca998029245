"""`homeroom serve`: a release over HTTP, or whatever release is promoted."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.access import access_options, access_settings
from flows.cli.cautions import caution
from flows.cli.stopping import stoppable

if TYPE_CHECKING:  # light to import: a command line that only shows its help needs none of it
    from components.store import Store
    from flows.settings import Settings
    from serving.run import Following, ServerProcess
    from serving.supervise.limits import Limits


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
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--fixed",
    is_flag=True,
    help="Serve an application's current release until the end, whatever is promoted in the meantime.",
)
@click.option(
    "--supervise/--no-supervise",
    default=True,
    show_default=True,
    help="While following: advance or withdraw canaries, and take back a promoted release that goes beyond a limit.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="A limit of the supervisor, e.g. min_requests=500; see docs/how-to/serving.md. May be repeated.",
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
    workers: int,
    fixed: bool,
    supervise: bool,
    limits: tuple[str, ...],
    overrides: bool,
    keys: Path | None,
    is_open: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Serve RELEASE (a version, its beginning, or an application's name for what is promoted) until Ctrl-C.

    With an application's name the server follows what is promoted: a new release, a rollback or a canary takes effect
    within a second or so, without a restart and without a failed request. With a version, or --fixed, it serves that
    one release.

    The service is ready (GET /readyz) once it has verified the bundle's digests and signature and has given the golden
    answers. POST /v1/predict asks; / is the page for teachers where the release grades, /api shows the API. SIGTERM and
    SIGHUP stop it as Ctrl-C does. Its log goes to standard error.

    Where there are keys (`homeroom keys`) a client must show one; without any, only this machine is answered.

    \b
    Example:
      homeroom serve knowledge_tracing --port 3000 --workers 2
    """
    from components.app import application_names, load_application
    from flows.releases import take_release
    from flows.settings import Settings
    from serving.errors import ServerStartError
    from serving.registry import PointerLog
    from serving.relay import relayed
    from serving.run import Following, start
    from serving.supervise.limits import Limits

    settings = Settings()
    store = settings.open_store()
    chosen = Limits().with_values(limits)
    follows = release in application_names() and not fixed
    if follows and PointerLog(store, release).latest() is None:
        found, application = None, release
    else:
        found = take_release(store, release)
        application = found.application
    served: Path | Following
    if follows:
        served = Following(settings.store, application, settings.cache if store.local_root is None else None)
    else:
        assert found is not None  # only a followed log may be empty
        served = store.folder(found)
    takes_overrides = overrides and load_application(application).kind.takes_overrides
    folder = settings.overrides / application
    environment, tls = access_settings(host, keys, is_open, tls_cert, tls_key)
    if takes_overrides:
        environment["HOMEROOM_SERVE_OVERRIDES"] = str(folder)
        environment["HOMEROOM_SERVE_PSEUDONYM_KEY"] = str(settings.pseudonym_key_file())
    given = None if found is None else caution(store, found)
    if given is not None and not follows:  # what is followed has it in the log
        environment["HOMEROOM_SERVE_GATE_OVERRIDE"] = json.dumps(given.to_json())
    with (
        stoppable(),
        start(
            served,
            port or None,
            host,
            workers=workers,
            key_file=settings.release_key_file(),
            environment=environment,
            tls=tls,
        ) as server,
        _supervised(settings, store, application, server, chosen, follows and supervise),
    ):
        what = (
            f"{found.version} is" if found is not None else f"No release of {application} was promoted yet; one will be"
        )
        told = f"{what} ready on {server.url} (API: {server.url}/api, stop with Ctrl-C)"
        click.echo(told, err=True)
        if follows:
            click.echo(
                f"What is promoted in {settings.store} takes its place at once (--fixed: it does not).", err=True
            )
        if takes_overrides:
            click.echo(f"Page for teachers: {server.url}/; their overrides are kept in {folder}", err=True)
        try:
            with relayed(server.log_file, lambda text: click.echo(text, nl=False, err=True)):
                status = server.process.wait()
        except KeyboardInterrupt:
            return
    raise ServerStartError(
        f"The server ended by itself with exit status {status}. The end of its log:\n{server.log_tail()}"
    )


@contextmanager
def _supervised(
    settings: Settings, store: Store, application: str, server: ServerProcess, limits: Limits, wanted: bool
) -> Iterator[None]:
    """Have canaries and promotions watched while the server runs, and whoever is to know told of what came of them."""
    from flows.notices import tell_entry
    from serving.registry import PointerLog
    from serving.supervise.permission import Permission, missing_from
    from serving.supervise.supervisor import Supervisor

    if not wanted:
        yield
        return
    entries, by = PointerLog(store, application), f"server {socket.gethostname()}"
    supervisor = Supervisor(
        entries,
        server.workers,
        limits,
        by=by,
        forbidden=Permission(store, application),
        missing=missing_from(store),
        told=partial(tell_entry, settings, application),
    )
    supervisor.start()
    try:
        yield
    finally:
        supervisor.close()
