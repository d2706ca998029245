"""An application in a folder of its own, outside this repository, with a data module and a model from source text."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.app import Application


@contextmanager
def application_in(folder: Path, name: str, *, data: str, model: str) -> Iterator[Application]:
    """Give an application that can be imported until the block ends.

    Args:
        folder: where its package is written.
        name: of the application and of its package.
        data: source of its module `data`, with a class `Data`.
        model: source of its module `model`, with a class `Model`.
    """
    package = folder / name
    package.mkdir(parents=True)
    # The codec does nothing here, but its digest is part of a stage's key.
    for file, text in (("__init__.py", ""), ("data.py", data), ("codec.py", ""), ("model.py", model)):
        (package / file).write_text(text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield Application(
            name=name,
            title="fake",
            package=name,
            config=object,
            data=f"{name}.data:Data",
            model=f"{name}.model:Model",
            train_config=f"{name}.data:used",
            scorer=f"{name}.data:used",
            encoder=f"{name}.data:used",
        )
    finally:
        sys.path.remove(str(folder))
        for module in [n for n in sys.modules if n.partition(".")[0] == name]:
            del sys.modules[module]
