"""`homeroom doctor`: what it finds, and what it says to do."""

import stat
import sys
from pathlib import Path

import pytest

from flows.checks import all_checks, check_import_names, check_keys, check_prefect, check_store, check_version
from flows.settings import Settings


def test_this_installation_is_sound() -> None:
    bad = [check for check in all_checks(Settings()) if not check.ok]
    assert bad == []


def test_a_distribution_that_owns_one_of_our_names_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "rival_toolkit-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival-toolkit\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("trainer\n")
    (info / "RECORD").write_text("trainer/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {check.name: check for check in check_import_names()}
    assert not found["import trainer"].ok
    assert "rival-toolkit" in found["import trainer"].finding
    assert "virtual environment" in found["import trainer"].remedy
    assert found["import serving"].ok


def test_a_package_that_is_imported_from_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [m for m in sys.modules if m == "trainer" or m.startswith("trainer.")]:
        monkeypatch.delitem(sys.modules, name)
    found = {check.name: check for check in check_import_names()}
    monkeypatch.delitem(sys.modules, "trainer")
    assert not found["import trainer"].ok
    assert str(tmp_path) in found["import trainer"].finding


@pytest.mark.parametrize(
    ("name", "allowed", "good"),
    [("click", ">=1", True), ("click", ">=999", False), ("no-such-distribution", ">=1", False)],
)
def test_versions(name: str, allowed: str, good: bool) -> None:
    check = check_version(name, allowed, "do this")
    assert check.ok is good
    assert check.remedy == ("" if good else "do this")


def test_a_store_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "file" / "store"))
    check = check_store(Settings())
    assert not check.ok
    assert check.remedy


def test_keys_are_made_private_and_an_open_one_is_told() -> None:
    settings = Settings()
    assert all(check.ok for check in check_keys(settings))
    path = settings.keys / "signing.ed25519"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    found = {check.name: check for check in check_keys(settings)}
    assert not found["signing key"].ok
    assert f"chmod 600 {path}" == found["signing key"].remedy
    assert found["pseudonym key"].ok


def test_a_prefect_server_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    check = check_prefect()
    assert not check.ok
    assert "does not answer" in check.finding
