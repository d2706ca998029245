"""`homeroom build`: a release with all that serves it, for an image or a Bento."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flows.cli.cautions import caution


@click.command()
@click.argument("release")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="FOLDER",
    help="A new folder.  [default: the release's version, here]",
)
@click.option("--python", default="3.11", show_default=True, help="Python of the image.")
@click.option("--bento", is_flag=True, help="Also make a Bento of it in BentoML's store (BENTOML_HOME).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def build(release: str, to: Path | None, python: str, bento: bool, as_json: bool) -> None:
    """Write RELEASE (a version, its beginning, or an application's name for what is promoted) with its Dockerfile.

    The folder holds the release, verified, the code that serves it, requirements with versions, a Dockerfile and a
    bentofile.yaml; no torch. Nothing of it asks the store again.

    \b
    Example:
      homeroom build knowledge_tracing --to image
      docker build --tag knowledge_tracing image
    """
    from components.errors import ConfigError
    from flows.releases import take_release
    from flows.settings import Settings
    from serving.build import make_bento, write_build_context

    settings = Settings()
    store = settings.open_store()
    found = take_release(store, release)
    folder = Path(found.version) if to is None else to
    caution(store, found)
    try:
        write_build_context(store.folder(found), folder, settings.trusted_keys(), python=python)
    except FileExistsError as error:
        raise ConfigError(str(error)) from None
    tag = make_bento(folder, found.version) if bento else None
    if as_json:
        click.echo(json.dumps({"release": found.version, "folder": str(folder.absolute()), "bento": tag}))
        return
    click.echo(f"{found.version} is in {folder}: docker build --tag {found.application} {folder}")
    if tag is not None:
        click.echo(f"Bento {tag}: bentoml serve {tag}")
