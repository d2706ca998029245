"""Code digests follow imports as Python would, by reading alone."""

import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from components.code import code_digests, package_modules

Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes modules below a folder on the import path. They must never be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(modules: dict[str, str]) -> Path:
        for name, text in modules.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("raise SystemExit('imported')\n" + text)
        importlib.invalidate_caches()
        return tmp_path

    return make


def test_imports_are_followed_transitively_with_their_packages(write: Write) -> None:
    root = write(
        {
            "shop/__init__.py": "",
            "shop/a.py": "import shop.deep.b as b\nimport json\nimport numpy",
            "shop/deep/__init__.py": "",
            "shop/deep/b.py": "from shop import c",
            "shop/c.py": "",
            "shop/unused.py": "",
        }
    )
    found = code_digests(["shop.a"])
    assert list(found) == ["shop", "shop.a", "shop.c", "shop.deep", "shop.deep.b"]
    assert found["shop.c"] == hashlib.sha256((root / "shop/c.py").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "line",
    [
        "import shop.c",
        "import shop.c as d",
        "import json, shop.c",
        "from shop.c import name",
        "from shop import c",
        "from shop import x, c as d",
        "from . import c",
        "from .c import *",
        "def f():\n    from shop.c import name",
        "async def f():\n    if True:\n        import shop.c",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shop.c import name",
        "try:\n    import shop.c\nexcept ImportError:\n    pass",
        "class A:\n    from shop import c",
    ],
)
def test_every_way_of_importing_counts(write: Write, line: str) -> None:
    write({"shop/__init__.py": "", "shop/a.py": line, "shop/c.py": ""})
    assert "shop.c" in code_digests(["shop.a"])


def test_relative_imports_start_from_the_right_package(write: Write) -> None:
    write(
        {
            "shop/__init__.py": "",
            "shop/top.py": "",
            "shop/deep/__init__.py": "from .inner import x",
            "shop/deep/inner.py": "from ..top import y\nfrom .. import side\nfrom ..other.leaf import z",
            "shop/side.py": "",
            "shop/inner.py": "",
            "shop/other/__init__.py": "",
            "shop/other/leaf.py": "",
        }
    )
    found = code_digests(["shop.deep"])
    assert set(found) == {
        "shop",
        "shop.top",
        "shop.side",
        "shop.deep",
        "shop.deep.inner",
        "shop.other",
        "shop.other.leaf",
    }


def test_a_packages_init_counts_with_what_it_imports_even_lazily(write: Write) -> None:
    write(
        {
            "shop/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shop.lazy import Thing",
            "shop/a.py": "",
            "shop/lazy.py": "import shop.loop",
            "shop/loop.py": "import shop.a",
        }
    )
    assert set(code_digests(["shop.a"])) == {"shop", "shop.a", "shop.lazy", "shop.loop"}


def test_a_main_module_reaches_the_loop_of_another_package_that_it_only_uses(write: Write) -> None:
    # as components.train.__main__ reaches trainer.loops.loop
    write(
        {
            "parts/__init__.py": "",
            "parts/train/__init__.py": "",
            "parts/train/__main__.py": "def main():\n    from parts.train.fit import fit",
            "parts/train/fit.py": "def fit():\n    from coach import Coach",
            "coach/__init__.py": "def __getattr__(name):\n    from coach.coach import Coach",
            "coach/coach.py": "from coach.loop import run",
            "coach/loop.py": "",
            "elsewhere/__init__.py": "",
        }
    )
    found = code_digests(["parts.train.__main__"], roots=("parts", "coach"))
    assert {"parts.train.__main__", "parts.train.fit", "coach.coach", "coach.loop"} <= set(found)
    assert "coach.loop" not in code_digests(["parts.train.__main__"], roots=("parts",))
    assert "elsewhere" not in found


def test_the_training_stage_counts_the_training_loop() -> None:
    assert "trainer.loops.loop" in code_digests(["components.train.stage", "components.train.__main__"])


def test_an_edit_changes_the_digest_of_that_module_alone(write: Write) -> None:
    modules = {"shop/__init__.py": "", "shop/a.py": "import shop.b, shop.c", "shop/b.py": "x = 1", "shop/c.py": ""}
    write(modules)
    before = code_digests(["shop.a"])
    write({"shop/b.py": "x = 2"})
    after = code_digests(["shop.a"])
    assert {name for name in before if before[name] != after[name]} == {"shop.b"}
    write({"shop/b.py": "x = 2\nimport shop.d", "shop/d.py": ""})
    assert "shop.d" in code_digests(["shop.a"])


def test_a_package_without_init_and_a_single_module_count_too(write: Write) -> None:
    write({"loose/a.py": "import loose.b", "loose/b.py": "", "single.py": "import single"})
    assert set(code_digests(["loose.a", "single"])) == {"loose.a", "loose.b", "single"}


def test_a_folder_beside_a_module_of_the_same_name_does_not_hide_it(write: Write) -> None:
    root = write({"shop/__init__.py": "", "shop/a.py": "import shop.b", "shop/b.py": ""})
    (root / "shop" / "b").mkdir()
    assert "shop.b" in code_digests(["shop.a"])


def test_modules_that_import_each_other_are_no_trouble(write: Write) -> None:
    write({"shop/__init__.py": "", "shop/a.py": "import shop.b", "shop/b.py": "import shop.a"})
    assert set(code_digests(["shop.a"])) == {"shop", "shop.a", "shop.b"}


def test_a_module_that_is_not_there_is_named(write: Write) -> None:
    write({"shop/__init__.py": ""})
    with pytest.raises(ModuleNotFoundError, match=r"No source for module 'shop.missing'; is the package installed\?"):
        code_digests(["shop.missing"])
    with pytest.raises(ModuleNotFoundError, match=r"No source for package 'nowhere'"):
        package_modules("nowhere")


def test_a_packages_own_modules_are_listed_without_its_subfolders(write: Write) -> None:
    write({"shop/__init__.py": "", "shop/codec.py": "", "shop/app.py": "", "shop/deep/__init__.py": ""})
    assert package_modules("shop") == ("shop", "shop.app", "shop.codec")
