"""The API reference: every public name of the trainer is on a page, with what its docstring says."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

import trainer

ROOT = Path(__file__).resolve().parents[2]


def public_modules(module: ModuleType) -> Iterator[ModuleType]:
    yield module
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            yield from public_modules(value)


MODULES = list(public_modules(trainer))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    command = [sys.executable, "docs/build_api.py", "--to", str(folder), "trainer"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


class Anchors(HTMLParser):
    """Collects the ids of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.update(value for name, value in attrs if name == "id" and value)


@pytest.mark.parametrize("module", MODULES, ids=[m.__name__ for m in MODULES])
def test_every_public_name_has_its_place(pages: Path, module: ModuleType) -> None:
    page = Anchors()
    page.feed((pages / f"{module.__name__.replace('.', '/')}.html").read_text(encoding="utf-8"))
    names = {name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)}
    assert names - page.found == set()


def test_a_method_shows_its_arguments_and_errors(pages: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (pages / "trainer.html").read_text(encoding="utf-8"))
    section = text[text.index("Write a checkpoint of the current run") :][:600]
    assert "filepath:" in section
    assert "AttributeError" in section


@pytest.mark.parametrize("module", MODULES, ids=[m.__name__ for m in MODULES])
def test_every_public_class_and_function_has_a_docstring(module: ModuleType) -> None:
    things = {name: getattr(module, name) for name in module.__all__}
    own = {name: thing for name, thing in things.items() if inspect.isclass(thing) or inspect.isroutine(thing)}
    without = [name for name, thing in own.items() if not (thing.__doc__ or "").strip()]
    assert without == []
