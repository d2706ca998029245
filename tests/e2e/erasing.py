"""Erasures for `tests.forked` that kill themselves at a write of the store."""

import importlib
import os
from pathlib import Path
from typing import Any

from tests.forked import serve

MODULES = ("polars", "flows.erasure", "components._testing.kills", "components.writing.codec")


def run(question: dict[str, Any]) -> int:
    """Erase as asked; end with 0 where the erasure came to its end before that write."""
    from components._testing.kills import _at_write
    from flows.erasure import erase_student
    from flows.settings import Settings

    os.environ.pop("HOMEROOM_PSEUDONYM_KEY", None)
    settings = Settings(**{name: Path(path) for name, path in question["settings"].items()} | {
        "store": question["settings"]["store"]
    })  # fmt: skip
    with _at_write(question["number"], question["when"]):
        erase_student(settings, pseudonym=question["pseudonym"], really=True)
    return 0


if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    serve(run)
