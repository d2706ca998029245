"""Write the API reference, from the docstrings: `python docs/build_api.py [--to docs/api] [PACKAGE ...]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

PACKAGES = ("trainer", "components", "flows", "serving")


def build(packages: Sequence[str], folder: Path) -> None:
    """Write one HTML page per public module, with a search over all of them, into `folder`.

    Args:
        packages: what is documented, with all public modules inside.
        folder: made where it is missing; `index.html` is the first page.

    Raises:
        RuntimeError: pdoc is not installed.
    """
    try:
        import pdoc
        import pdoc.render
    except ModuleNotFoundError as error:
        raise RuntimeError("The API reference needs pdoc. Install it: pip install 'homeroom[docs]'.") from error
    for name in packages:
        _load(importlib.import_module(name))
    pdoc.render.configure(docformat="google", footer_text="homeroom")
    pdoc.pdoc(*packages, output_directory=folder)


def _load(module: ModuleType) -> None:
    """Put the names that a module imports only when they are used where pdoc looks for them."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        vars(module).setdefault(name, value)
        if isinstance(value, ModuleType) and value.__name__.startswith(f"{module.__name__}."):
            _load(value)


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="PACKAGE")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "api", metavar="FOLDER")
    given = parser.parse_args()
    build(given.packages, given.to)
    sys.stdout.write(f"{given.to / 'index.html'}\n")


if __name__ == "__main__":
    main()
