"""An application's folder under another name."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

import flows
from components.app import Application, load_application
from components.errors import ConfigError
from flows.scaffold.renaming import renamed_folder

OWN = tuple(sorted(path.parent.name for path in Path(str(flows.__file__)).parent.glob("*/app.py")))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """An application in `tiny_apps/word_count/`, with what renaming has to tell apart."""
    folder = tmp_path / "tiny_apps" / "word_count"
    (folder / "configs").mkdir(parents=True)
    (folder / "__init__.py").write_text('"""Word count: how long a text is."""\n')
    (folder / "app.py").write_text(
        '"""Word count as an application."""\n'
        "\n"
        "import json\n"
        "\n"
        "from components.app import Application\n"
        "from tiny_apps.word_count.parts import SIZES, WordCounter, count\n"
        "from zlib import crc32\n"
        "\n"
        'NAMES = ("word_count", "tiny_apps.word_count.parts:WordCounter", "word_counts", "tiny_apps/word_count")\n'
        "# a fast word count is no application, and of word count or word-count is\n"
    )
    (folder / "parts.py").write_text(
        "SIZES = 1\n\n\nclass WordCounter: ...\n\n\nclass WordCountConfig: ...\n\n\nclass Wordy: ...\n\n\n"
        "class CountTable: ...\n\n\nclass FastWordCount: ...\n\n\ndef count() -> None: ...\n"
    )
    (folder / "configs" / "small.toml").write_text("# word_count on small data\n")
    (folder / "README.md").write_text(
        "# Model card: word count\n\nIt counts.\n\n## Measured on public data\n\n99 %\n\n## Limits\n\nNone.\n"
    )
    (folder / "table.bin").write_bytes(b"\xff\x00word_count")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"\0")
    (tmp_path / "tiny_apps" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return replace(load_application("essay_grading"), name="word_count", package="tiny_apps.word_count")


def test_imports_classes_and_texts_are_renamed_and_nothing_else(model: Application) -> None:
    found = {path: body.decode() for path, body in renamed_folder(model, "algebra").items() if path != "table.bin"}
    assert sorted(found) == ["README.md", "__init__.py", "app.py", "configs/small.toml", "parts.py"]
    assert found["__init__.py"] == '"""Algebra: how long a text is."""\n'
    assert found["app.py"] == (
        '"""Algebra as an application."""\n'
        "\n"
        "import json\n"
        "\n"
        "from algebra.parts import SIZES, AlgebraCounter, count\n"
        "from components.app import Application\n"
        "from zlib import crc32\n"
        "\n"
        'NAMES = ("algebra", "algebra.parts:AlgebraCounter", "word_counts", "algebra")\n'
        "# a fast word count is no application, and of algebra or algebra is\n"
    )
    classes = [node.name for node in ast.parse(found["parts.py"]).body if isinstance(node, ast.ClassDef)]
    assert classes == ["AlgebraCounter", "AlgebraConfig", "Wordy", "AlgebraTable", "FastWordCount"]
    assert found["configs/small.toml"] == "# algebra on small data\n"
    assert found["README.md"] == "# Model card: algebra\n\nIt counts.\n\n## Limits\n\nNone.\n"
    assert renamed_folder(model, "algebra")["table.bin"] == b"\xff\x00word_count"


def test_a_name_of_several_words_keeps_hyphens_and_capitals(model: Application) -> None:
    found = renamed_folder(model, "reading_lab")["app.py"].decode()
    assert found.startswith('"""Reading lab as an application."""')
    assert "of reading lab or reading-lab is" in found
    assert "from reading_lab.parts import SIZES, ReadingLabCounter, count" in found


def test_a_name_that_would_hide_something_of_the_code_is_refused(model: Application) -> None:
    (model.folder / "more.py").write_text("from somewhere import AlgebraConfig\n")
    with pytest.raises(
        ConfigError, match=r"'algebra' would have classes AlgebraConfig; expected names that the model's"
    ):
        renamed_folder(model, "algebra")


def test_two_classes_never_become_one(model: Application) -> None:
    (model.folder / "more.py").write_text("class WordConfig: ...\n")
    found = renamed_folder(model, "algebra")
    assert found["more.py"] == b"class WordConfig: ...\n"
    assert b"class AlgebraConfig" in found["parts.py"]


@pytest.mark.parametrize("like", OWN)
def test_of_homerooms_own_applications_nothing_of_the_old_name_is_left(like: str) -> None:
    camel = like.title().replace("_", "")
    for path, body in renamed_folder(load_application(like), "reading_lab").items():
        text = body.decode()
        assert not re.search(rf"{like}|flows\.|\b{camel}", text), path
        if path.endswith(".py"):
            # apart from the names, the code is the model's: the same tree of the same nodes
            old = (load_application(like).folder / path).read_text()
            kinds = [type(node) for node in ast.walk(ast.parse(text))]
            assert kinds == [type(node) for node in ast.walk(ast.parse(old))], path
