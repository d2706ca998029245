"""Command lines of user-style scripts, written once for either import. Each returns what its user could see."""

import io
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import torch

import tests.trainer.cli.scripts_of_classes
import tests.trainer.cli.scripts_of_runs  # noqa: F401 - as the one before, it adds its scripts to the list
from tests.trainer.cli.pieces import SCRIPTS, Seen


def run_all(folder: Path, every: int = 1) -> dict[str, Seen]:
    """Return what every script, or every so many-th, shows, each in a folder of its own."""
    return {name: run(SCRIPTS[name], folder / name) for name in list(SCRIPTS)[::every]}


def run(function: Callable[[Path], Seen], folder: Path) -> Seen:
    """Run one script inside `folder`."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    sys.argv = ["any.py"]
    torch.manual_seed(1)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return function(folder)


def main() -> None:
    """Run every so many-th script in a folder and write what they show to a file: folder, file, number."""
    folder, result, every = sys.argv[1:]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.save(run_all(Path(folder), int(every)), result)
