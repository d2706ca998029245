"""What the package says where jsonargparse is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from trainer import cli


@pytest.mark.parametrize("missing", ["jsonargparse", "docstring_parser"])
@pytest.mark.parametrize("name", ["LightningCLI", "LightningArgumentParser", "SaveConfigCallback", "ArgsType"])
def test_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str, missing: str) -> None:
    find = importlib.util.find_spec

    def without(module: str, package: str | None = None) -> ModuleSpec | None:
        return None if module == missing else find(module, package)

    monkeypatch.setattr(cli, "find_spec", without)
    with pytest.raises(
        ModuleNotFoundError, match=rf"{missing}.*jsonargparse\[signatures\]>=4.40.*extra `cli`"
    ) as error:
        getattr(cli, name)
    assert error.value.name == missing
    assert callable(cli.ReduceLROnPlateau)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = cli.Nothing
    assert set(cli.__all__) <= set(dir(cli))


def test_nothing_is_imported_before_it_is_used() -> None:
    code = "import sys, trainer, trainer.cli; from trainer.cli import OptimizerCallable; trainer.Trainer(logger=False)"
    seen = "print([name for name in ('jsonargparse', 'docstring_parser') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{seen}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
