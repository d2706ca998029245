"""The files of an own application's project, and writing them: all of them or none."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Mapping
from importlib.metadata import entry_points, version
from pathlib import Path, PurePosixPath

from jinja2 import Environment, PackageLoader, StrictUndefined

from components.app import ENTRY_POINTS, load_application
from components.errors import ConfigError, StoreError
from flows.scaffold.names import check_name
from flows.scaffold.renaming import camel, renamed_folder

TEMPLATES = {
    "pyproject.toml": "pyproject.toml.jinja",
    "README.md": "README.md.jinja",
    ".gitignore": "gitignore.jinja",
    "tests/test_contract.py": "test_contract.py.jinja",
}
"""File of a project -> its template; the application's own folder comes from the model's."""


def new_project(name: str, like: str, into: Path) -> tuple[str, ...]:
    """Write a project with an application `name` that does what the application `like` does; return its files.

    Args:
        name: of the application, its package and, with hyphens, its distribution.
        like: name of an application that is there.
        into: the project's folder: new, or empty.

    Raises:
        ConfigError: a name that cannot be, no application `like`, or a folder that holds something.
        StoreError: the folder could not be written; what was written is gone again.
    """
    check_name(name)
    check_target(into)
    files = project_files(name, like)
    write_whole(files, into)
    return tuple(files)


def project_files(name: str, like: str) -> dict[str, bytes]:
    """Return the files of the project: path below its folder -> body."""
    model = load_application(like)
    # below src/: a folder NAME/NAME would hide the installed package from processes that start in NAME's folder
    application = {f"src/{name}/{path}": body for path, body in renamed_folder(model, name).items()}
    pages = Environment(
        loader=PackageLoader("flows.scaffold"), autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True
    )
    values = {
        "name": name,
        "like": like,
        "words": name.replace("_", " "),
        "camel": camel(name),
        "distribution": name.replace("_", "-"),
        "homeroom": version("homeroom"),
        "requires": ["homeroom", *_distribution_of(like)],
        "data": sorted({f"*{suffix}" for path in application if (suffix := PurePosixPath(path).suffix) != ".py"}),
    }
    texts = {path: pages.get_template(template).render(values) for path, template in TEMPLATES.items()}
    return dict(sorted({**{path: text.encode("utf-8") for path, text in texts.items()}, **application}.items()))


def check_target(into: Path) -> None:
    """Refuse a place that is no folder or holds something.

    Raises:
        ConfigError: it is neither new nor an empty folder, or an address.
    """
    problem = None
    if "://" in str(into) or str(into).startswith("s3:/"):
        problem = "is an address"
    elif into.is_dir():
        count = sum(1 for _ in into.iterdir())
        problem = f"holds {count} entries" if count else None
    elif os.path.lexists(into):
        problem = "is no folder"
    if problem is not None:
        raise ConfigError(f"--into {into} {problem}; expected a new or an empty folder. Name another with --into.")


def write_whole(files: Mapping[str, bytes], into: Path) -> None:
    """Write files below a new or empty folder. Whatever goes wrong, nothing of them is left.

    Raises:
        StoreError: it cannot be written.
    """
    into = into.absolute()
    parents = [one for one in into.parents if not one.exists()]
    part = into.parent / f".{into.name}.{uuid.uuid4().hex}.part"
    moved: list[Path] = []
    try:
        for path, body in files.items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            (part / path).write_bytes(body)
        if not into.exists():
            part.rename(into)
            return
        for child in sorted(part.iterdir()):  # the folder itself stays: it may be somebody's working directory
            moved.append(into / child.name)
            child.rename(into / child.name)
        part.rmdir()
    except BaseException as error:
        for place in (part, *moved):
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):
                place.unlink()  # a file
        for parent in parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise StoreError(
                f"{into} could not be written ({error.strerror or type(error).__name__}); expected a place in a folder "
                "that you may write, with room on its disk. Name another with --into."
            ) from error
        raise


def _distribution_of(application: str) -> list[str]:
    """Return the distribution that another's application comes with: a copy may import from it."""
    owners = {e.dist.name for e in entry_points(group=ENTRY_POINTS) if e.name == application and e.dist is not None}
    return sorted(owners - {"homeroom"})
