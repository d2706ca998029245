"""Digests of first-party code: what a module imports, transitively, found by reading source, never by running it."""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

FIRST_PARTY = ("flows", "components", "trainer", "serving")


class CodeReader:
    """Reads source files once: all digests that one reader gives are of one state of the code.

    Args:
        roots: top-level packages whose modules count; a module's own top-level package counts too.
    """

    def __init__(self, roots: Iterable[str] = FIRST_PARTY) -> None:
        self._roots = tuple(roots)
        self._paths: dict[str, Path | None] = {}
        self._read: dict[str, tuple[str, tuple[str, ...]]] = {}

    def digests(self, modules: Iterable[str]) -> dict[str, str]:
        """Return module name -> SHA-256 of its source, for `modules` and all that they import.

        Imports inside functions and under `if TYPE_CHECKING` count: the first run later, and the second is how a
        package with lazy names says what it holds. A package's `__init__` counts with each of its modules.

        Raises:
            ModuleNotFoundError: one of `modules` itself cannot be found.
        """
        waiting = list(modules)
        for name in waiting:
            if self._path(name) is None:
                raise ModuleNotFoundError(f"No source for module {name!r}; is the package installed?", name=name)
        found: dict[str, str] = {}
        while waiting:
            name = waiting.pop()
            path = self._path(name)
            if name in found or path is None:
                continue
            found[name], imports = self._source(name, path)
            waiting.extend(imports)
            if "." in name:
                waiting.append(name.rpartition(".")[0])
        return dict(sorted(found.items()))

    def _path(self, name: str) -> Path | None:
        if name not in self._paths:
            self._paths[name] = _source_of(name)
        return self._paths[name]

    def _source(self, name: str, path: Path) -> tuple[str, tuple[str, ...]]:
        if name not in self._read:
            body = path.read_bytes()
            imports = _imports_of(name, body, path.name == "__init__.py", self._roots)
            self._read[name] = (hashlib.sha256(body).hexdigest(), imports)
        return self._read[name]


def code_digests(modules: Iterable[str], *, roots: Iterable[str] = FIRST_PARTY) -> dict[str, str]:
    """Return what a new CodeReader gives: the digests of the code as it is now."""
    return CodeReader(roots).digests(modules)


def package_modules(package: str) -> tuple[str, ...]:
    """Return the names of all modules directly in `package` (an application's `*.py`)."""
    init = _source_of(package)
    if init is None:
        raise ModuleNotFoundError(f"No source for package {package!r}; is it installed?", name=package)
    return tuple(
        package if path.stem == "__init__" else f"{package}.{path.stem}" for path in sorted(init.parent.glob("*.py"))
    )


@lru_cache(maxsize=4096)
def _imports_of(name: str, body: bytes, is_package: bool, roots: tuple[str, ...]) -> tuple[str, ...]:
    package = name if is_package else name.rpartition(".")[0]
    names: set[str] = set()
    for node in _statements(ast.parse(body)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parent = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{parent}.{base}" if base else parent
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)  # a module or a name in one
    own = (*roots, name.partition(".")[0]) if name.partition(".")[0] not in roots else roots
    return tuple(sorted(n for n in names if n.partition(".")[0] in own))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements below `node`; unlike ast.walk it leaves expressions alone, which hold no imports."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, block, ()):
            yield inner
            yield from _statements(inner)


def _source_of(name: str) -> Path | None:
    """Return the file of a module without importing it, or None (a name inside a module, or compiled code)."""
    top, _, rest = name.partition(".")
    root = _top_folder(top)
    if root is None:
        return None
    path = root.joinpath(*rest.split(".")) if rest else root
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            return file
    return None


def _top_folder(top: str) -> Path | None:
    loaded = sys.modules.get(top)
    origin = getattr(loaded, "__file__", None)
    if origin is None:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return None
        if spec is not None and spec.origin is None and spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))  # a package without __init__.py
        if spec is None or spec.origin is None:
            return None
        origin = spec.origin
    file = Path(origin)
    return file.parent if file.name == "__init__.py" else file.with_suffix("")
