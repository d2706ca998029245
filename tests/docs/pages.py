"""A page of docs/how-to/ and the code on it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"


@dataclass
class Page:
    """The text of a page and its blocks of Python, which share their names from top to bottom.

    Attributes:
        path: the file.
        module: what `__name__` is in the code: "__main__" where that of a script is shown.
        names: what the blocks that have run defined; Any: whatever a page defines.
    """

    path: Path
    module: str = "page"
    names: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.names = {"__name__": self.module}

    @classmethod
    def named(cls, name: str, module: str = "page") -> "Page":
        """Return the page `docs/how-to/NAME.md`."""
        return cls(HOW_TO / f"{name}.md", module)

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def blocks(self) -> list[str]:
        return re.findall(r"```python\n(.*?)```", self.text, re.S)

    def run(self, block: str) -> None:
        """Run a block; what the earlier ones defined is there."""
        exec(compile(block, str(self.path), "exec"), self.names)

    def run_all(self) -> dict[str, Any]:
        """Run the blocks in their order and return what they define."""
        for block in self.blocks:
            self.run(block)
        return self.names

    def examples(self) -> dict[str, Callable[[Path], None]]:
        """Return the functions `test_...(folder)` that the blocks so far defined."""
        return {name: value for name, value in self.names.items() if name.startswith("test_")}

    def examples_of(self, number: int) -> dict[str, Callable[[Path], None]]:
        """Run the blocks up to block `number`, and return the examples that this one defines."""
        for block in self.blocks[:number]:
            self.run(block)
        before = self.examples()
        self.run(self.blocks[number])
        return {name: value for name, value in self.examples().items() if name not in before}
