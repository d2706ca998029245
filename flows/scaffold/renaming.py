"""An application's folder under another name: imports, classes, titles and texts, nothing else changed."""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence

from components.app import Application
from components.errors import ConfigError

CARD = "README.md"
_MEASURED = re.compile(r"^## Measured\b.*?(?=^## )", re.M | re.S)
"""The section of a model card with figures of the model's own data: they would say nothing of another application."""
_BEFORE = r"(^|[\"'(`:#*]\s*|\b(?:of|the|a|an|for|in|to|and|or|by|with)\s+)"
"""What stands before an application's name in a text, unlike `deep` in `deep knowledge tracing`, which is a method."""


def renamed_folder(model: Application, name: str) -> dict[str, bytes]:
    """Return the files of the model's folder as those of an application `name`: path below the folder -> body.

    - the import name of the folder becomes `name`, and so does the model's name wherever it stands alone;
    - classes of the folder that begin as the model does (`EssayGradingConfig`), or with a word of it (`EssayGrader`),
      begin as the new one;
    - titles and docstrings speak of the new one; the card loses its section `Measured`.

    Raises:
        ConfigError: a class would get a name that the code already uses.
    """
    bodies = {
        str(path.relative_to(model.folder)): path.read_bytes()
        for path in sorted(model.folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    texts = {path: body.decode("utf-8") for path, body in bodies.items() if _is_text(body)}
    sources = [text for path, text in texts.items() if path.endswith(".py")]
    classes = _new_classes(_classes(sources), model.name, name)
    _refuse_clashes(classes, sources, name)
    for path, text in texts.items():
        changed = _renamed(text, model, name, classes)
        if path == CARD:
            changed = _MEASURED.sub("", changed)
        if path.endswith(".py"):
            changed = _sorted_imports(changed, name)
            compile(changed, path, "exec")
        bodies[path] = changed.encode("utf-8")
    return bodies


def camel(name: str) -> str:
    """Return `EssayGrading` for `essay_grading`."""
    return "".join(part.capitalize() for part in name.split("_"))


def _is_text(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def _classes(sources: Iterable[str]) -> list[str]:
    return [node.name for text in sources for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]


def _new_classes(classes: Sequence[str], old: str, new: str) -> dict[str, str]:
    """Return old -> new names; one that begins with one word alone stays where the new name is given already."""
    whole = camel(old)
    found: dict[str, str] = {}
    for start in (whole, *map(camel, old.split("_"))):
        for one in classes:
            rest = one.removeprefix(start)
            begins = one.startswith(start) and (rest[:1].isupper() or one == whole)
            if begins and one not in found and camel(new) + rest not in found.values():
                found[one] = camel(new) + rest
    return found


def _refuse_clashes(classes: Mapping[str, str], sources: Iterable[str], name: str) -> None:
    used = {word for text in sources for word in re.findall(r"\b[A-Za-z_]\w*\b", text)} - classes.keys()
    if clashes := sorted(used & set(classes.values())):
        raise ConfigError(
            f"An application called {name!r} would have classes {', '.join(clashes)}; expected names that the model's "
            "code does not use for something else. Choose another name."
        )


def _renamed(text: str, model: Application, name: str, classes: Mapping[str, str]) -> str:
    for old in (model.package, model.package.replace(".", "/")):
        text = re.sub(rf"(?<![\w./]){re.escape(old)}\b", name, text)
    if classes:
        text = re.sub(rf"\b({'|'.join(classes)})\b", lambda found: classes[found[1]], text)
    text = re.sub(rf"\b{model.name}\b", name, text)
    words = r"([ -])".join(map(re.escape, model.name.split("_")))
    return re.sub(f"{_BEFORE}({words})\\b", lambda found: found[1] + _words(found[2], name), text, flags=re.M | re.I)


def _words(found: str, name: str) -> str:
    """Return the new name in words, with a hyphen and a capital where the old one has them."""
    new = name.replace("_", "-" if "-" in found else " ")
    return new.capitalize() if found[0].isupper() else new


def _sorted_imports(source: str, name: str) -> str:
    """Return the source with those blocks of imports in order that import from `name`, whose place has changed."""
    lines = source.splitlines(keepends=True)
    block: list[ast.Import | ast.ImportFrom] = []
    for node in [*ast.parse(source).body, None]:
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if is_import and (not block or node.lineno == int(block[-1].end_lineno or 0) + 1):  # type: ignore[union-attr]  # is_import says it
            block.append(node)  # type: ignore[arg-type]  # as above
            continue
        if any(_module(one).partition(".")[0] == name for one in block):
            start, end = block[0].lineno - 1, int(block[-1].end_lineno or 0)
            pieces = {_order(one): _piece(one, lines, name) for one in block}
            lines[start:end] = "".join(pieces[key] for key in sorted(pieces)).splitlines(keepends=True)
        block = [node] if is_import else []  # type: ignore[list-item]  # as above
    return "".join(lines)


def _piece(node: ast.Import | ast.ImportFrom, lines: list[str], name: str) -> str:
    """Return an import as written; what comes from `name` in order: constants, then classes, then functions."""
    text = "".join(lines[node.lineno - 1 : node.end_lineno])
    start, _, names = text.partition(" import ")
    if _module(node).partition(".")[0] != name or any(mark in names for mark in ("(", "#", " as ")):
        return text
    listed = sorted(names.strip().split(", "), key=lambda one: (not one.isupper(), not one[0].isupper(), one.lower()))
    return f"{start} import {', '.join(listed)}\n"


def _module(node: ast.Import | ast.ImportFrom) -> str:
    return (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name


def _order(node: ast.Import | ast.ImportFrom) -> tuple[bool, str, int]:
    return isinstance(node, ast.ImportFrom), _module(node).lower(), node.lineno
