"""What an application may be called."""

from pathlib import Path

import pytest

from components.errors import ConfigError
from flows.scaffold.names import LONGEST, check_name
from tests.installed import install


@pytest.mark.parametrize("name", ["reading_lab", "algebra2", "x", "a" * LONGEST])
def test_a_good_name_is_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("reading-lab", "it is no Python identifier"),
        ("2nd_grade", "it is no Python identifier"),
        ("", "it is no Python identifier"),
        ("../up", "it is no Python identifier"),
        ("lambda", "it is a keyword of Python"),
        ("match", "it is a keyword of Python"),
        ("Reading", "it has capitals, letters beyond a to z, or an underscore too many"),
        ("lesen_für", "it has capitals, letters beyond a to z, or an underscore too many"),
        ("reading__lab", "it has capitals, letters beyond a to z, or an underscore too many"),
        ("reading_", "it has capitals, letters beyond a to z, or an underscore too many"),
        ("a" * (LONGEST + 1), f"it has {LONGEST + 1} characters"),
        ("statistics", "it is a module of Python's standard library"),
        ("essay_grading", "there is an application of this name"),
        ("trainer", "homeroom uses it"),
        ("tests", "homeroom uses it"),
        ("numpy", "a package of this name is installed"),
        ("scikit_learn", "a distribution of this name is installed"),
    ],
)
def test_another_is_refused_with_the_rule(name: str, why: str) -> None:
    with pytest.raises(ConfigError) as told:
        check_name(name)
    assert f"An application cannot be called {name!r}: {why}" in str(told.value)
    assert "such as reading_lab" in str(told.value)


def test_the_name_of_an_installed_application_is_refused_although_it_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path, "someone-elses", {"algebra": "nowhere.app:APP"})
    with pytest.raises(ConfigError, match="there is an application of this name"):
        check_name("algebra")


def test_a_mere_folder_here_takes_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reading_lab").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    check_name("reading_lab")
