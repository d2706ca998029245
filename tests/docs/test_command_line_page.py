"""docs/how-to/command-line.md: its examples run as they stand, in their order."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("jsonargparse")

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "command-line.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


# The page shows `--optimizer` for a model that has its own.
@pytest.mark.filterwarnings("ignore:`Line.configure_optimizers` will be overridden")
def test_the_examples_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["main.py"])
    # A file of its own: the classes have to be importable, and their source readable, as those of a script are.
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(BLOCKS), encoding="utf-8")
    page = ModuleType("page")
    page.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "page", page)
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), vars(page))
    examples: dict[str, Callable[[Path], Any]] = {n: v for n, v in vars(page).items() if n.startswith("test_")}
    for name, example in examples.items():
        example(tmp_path / name)
    assert len(examples) == 4
