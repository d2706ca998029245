"""`homeroom erase`: a student's data, found, deleted for good, and the proof."""

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from components.erasure.erasing import Erasure, Fate

NOT_PROVEN = 4
"""Exit code where something is left, as of a store that could not do what was asked."""
HELD = {
    "pseudonym": "the pseudonym",
    "text": "a text",
    "features": "features of a text, as rows of its training data",
    "vocabulary": "names in its vocabulary that nobody else met",
    "unreadable": "something packed that could not be opened",
    "unknown": "perhaps something: the data by which it could be told were erased for another student",
}


@click.command()
@click.argument("student", required=False)
@click.option("--pseudonym", metavar="HEX", help="The student's pseudonym, in the place of STUDENT.")
@click.option("--response", is_flag=True, help="STUDENT is the id of a response whose source names no students.")
@click.option(
    "--also-text",
    "texts",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with a text of the student, to be searched for too. May be given several times.",
)
@click.option(
    "--overrides",
    "journals",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of overrides elsewhere than in HOMEROOM_OVERRIDES. May be given several times.",
)
@click.option(
    "--releases",
    type=click.Choice(["keep", "retire"]),
    default="keep",
    show_default=True,
    help="Releases made from the student's data: keep all, or delete those that do not serve now.",
)
@click.option("--yes", is_flag=True, help="Do it. Without this, nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable report.")
def erase(
    student: str | None,
    pseudonym: str | None,
    response: bool,
    texts: tuple[Path, ...],
    journals: tuple[Path, ...],
    releases: Literal["keep", "retire"],
    yes: bool,
    as_json: bool,
) -> int:
    """Show what is stored of STUDENT; with --yes, delete it for good and prove it by a search of every byte.

    STUDENT is the id as your files have it, or `-` to type it or read it from standard input, so that no shell history
    keeps it. It is written nowhere. What is kept is a tombstone, by which every later run leaves the student out.
    Killed half-way, the same command finishes.

    \b
    Example:
      homeroom erase -
      homeroom erase - --yes
    """
    from flows.erasure import erase_student, to_json
    from flows.settings import Settings

    settings = Settings()
    if student == "-":
        student = getpass.getpass("Student's id: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")

    def say(line: str) -> None:
        if not as_json:
            click.echo(line, err=True)

    done = erase_student(
        settings,
        student=student,
        pseudonym=pseudonym,
        kind="response" if response else "student",
        texts=[path.read_text(encoding="utf-8").strip() for path in texts],
        journals=journals,
        releases=releases,
        really=yes,
        say=say,
    )
    if as_json:
        click.echo(json.dumps(to_json(done, settings.store), indent=1))
    else:
        _print(done, settings.store)
    return NOT_PROVEN if yes and not done.is_proven else 0


def _print(done: "Erasure", store: str) -> None:
    would = "" if done.proof is not None else "would be "
    for one in done.fates:
        if one not in done.releases():
            fate = {"retired": f"{would}retired", "kept": "kept", "was retired": "was retired before"}[one.fate]
            click.echo(f"{one.found.kind:<16} {one.found.sha256[:12]}  {fate}{_held(one)}")
    for one in done.releases():
        fate = {"retired": f"{would}retired", "kept": "kept", "was retired": "was retired before"}[one.fate]
        serves = f", {one.serves}" if one.serves else ""
        click.echo(f"{'Release':<16} {one.found.version}{serves}: {fate}; made from the student's data{_held(one)}")
    for folder, count in done.overrides.items():
        click.echo(f"{count} override(s) {would}deleted from {folder}")
    for path in done.leftovers:
        click.echo(f"left by a run that died, {would}deleted: {path}")
    for uri in done.raw_files:
        click.echo(f"yours to erase: {uri} (until then, every run leaves the student out)")
    for key in done.other_keys:
        click.echo(f"not searched: data with pseudonyms of key {key}; run this once more with that key")
    if done.proof is None:
        known = "" if done.fates or done.overrides else "Nothing is stored of this student. "
        click.echo(f"{known}Nothing was changed in {store}; --yes does it, and writes the tombstone.")
        return
    for hit in (*done.proof.hits, *done.proof.unreadable):
        click.echo(f"LEFT: {hit.path}: {', '.join(HELD.get(what, what) for what in hit.what)}")
    for hit in done.proof.remains:
        click.echo(f"kept on purpose: {hit.path}: {', '.join(HELD[what] for what in hit.what)}")
    searched = f"{done.proof.files:,} files, {done.proof.bytes / 1e6:,.1f} MB searched"
    if done.is_proven:
        click.echo(f"Erased from {store}; {searched}: nothing of the student is left but what is listed above as kept.")
    else:
        click.echo(f"Not proven: {searched}, and something is left or could not be read. Run the same command again.")


def _held(one: "Fate") -> str:
    return f", holds {', '.join(HELD[what] for what in one.found.holds)}" if one.found.holds else ""
