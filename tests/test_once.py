"""What one process of the tests makes for all."""

from pathlib import Path

import pytest

from tests.once import made_once


def test_it_is_made_once_and_everybody_has_a_copy(tmp_path_factory: pytest.TempPathFactory) -> None:
    homes: list[Path] = []

    def make(home: Path) -> str:
        homes.append(home)
        (home / "a.txt").write_text("as made")
        return "value"

    one, other = (made_once(tmp_path_factory, "copied", make) for _ in range(2))
    assert homes == [one.first]
    assert (one.value, other.value) == ("value", "value")
    (one.own / "a.txt").write_text("changed")
    assert (other.own / "a.txt").read_text() == "as made"
    assert (one.first / "a.txt").read_text() == "as made"


def test_a_failure_is_not_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    def fail(home: Path) -> None:
        (home / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        made_once(tmp_path_factory, "failed", fail)
    found = made_once(tmp_path_factory, "failed", lambda home: home.name)
    assert not (found.own / "half").exists()
