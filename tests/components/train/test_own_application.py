"""A training process that lacks the application's package says what to install, and no more than that."""

import sys
from pathlib import Path

import pytest

from components.errors import TrainingFailedError
from components.train.fit import fit
from components.train.job import Job


def job(package: str, folder: Path) -> Job:
    return Job(package=package, dataset=str(folder), folder=str(folder), config={})


@pytest.mark.parametrize("package", ["no_such_lab", "no_such_lab.inner"])
def test_a_package_that_is_not_installed_here_is_named(package: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailedError, match=f"cannot import the application's package '{package}'") as told:
        fit(job(package, tmp_path))
    assert sys.executable in str(told.value)
    assert "pip install --no-deps -e PROJECT" in str(told.value)


def test_a_module_that_the_application_itself_lacks_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab_that_lacks").mkdir()
    (tmp_path / "lab_that_lacks" / "__init__.py").write_text("")
    (tmp_path / "lab_that_lacks" / "app.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        fit(job("lab_that_lacks", tmp_path))
