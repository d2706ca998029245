"""docs/how-to/command-line.md: its examples run as they stand, in their order."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import Page

pytest.importorskip("jsonargparse")


# The page shows `--optimizer` for a model that has its own.
@pytest.mark.filterwarnings("ignore:`Line.configure_optimizers` will be overridden")
def test_the_examples_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["main.py"])
    # A file of its own: the classes have to be importable, and their source readable, as those of a script are.
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(Page.named("command-line").blocks), encoding="utf-8")
    module, page = ModuleType("page"), Page(script)
    module.__file__ = str(script)
    page.names = vars(module)
    monkeypatch.setitem(sys.modules, "page", module)
    page.run(page.text)
    examples = page.examples()
    for name, example in examples.items():
        example(tmp_path / name)
    assert len(examples) == 4
