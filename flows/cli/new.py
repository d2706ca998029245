"""`homeroom new`: the project of an application of one's own."""

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option(
    "--like",
    required=True,
    metavar="APPLICATION",
    help="The application to begin with (`homeroom apps`), e.g. essay_grading.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The project's folder, new or empty; by default NAME here.",
)
def new(name: str, like: str, into: Path | None) -> None:
    """Write a project with an application NAME that does what another does: a package, a test, a README.

    Install it beside homeroom, and `homeroom run NAME` works; then change what is yours.

    \b
    Example:
      homeroom new reading_lab --like essay_grading
      pip install --no-deps -e reading_lab
      homeroom apps
    """
    from flows.scaffold.project import new_project

    folder = into or Path(name)
    files = new_project(name, like, folder)
    click.echo(f"{len(files)} files in {folder}, like {like}. Next:")
    click.echo(f"  pip install --no-deps -e {folder}\n  pytest {folder}\n  homeroom run {name} --data YOUR_DATA")
