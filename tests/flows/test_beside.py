"""What keeps a release from being compared with the champion: only a champion that is gone lets it through."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from components.app import load_application
from components.artifacts import Artifact
from components.deploy.config import DeployConfig
from components.errors import ArtifactMissingError, DigestMismatchError
from components.gate.decision import Finding
from components.secrets import SecretKey
from components.store import Store
from flows import comparing
from flows.promotion import _beside
from serving.errors import BundleError
from serving.registry import Pointer, ReleaseRegistry

CHAMPION, CANDIDATE, LOGS = (SimpleNamespace(version=f"knowledge_tracing-{name * 12}") for name in "abc")


def beside(store: Store, monkeypatch: pytest.MonkeyPatch, broken: Any, error: Exception) -> Finding:
    """Return the finding where asking for what belongs to one artifact raises."""

    def bundle_of(store: Store, release: Any, key: Any) -> object:
        if release is broken:
            raise error
        return SimpleNamespace(codec=None, session=SimpleNamespace(run=None))

    def folder(store: Store, artifact: Artifact) -> Path:
        if artifact is broken:
            raise error
        return Path()

    monkeypatch.setattr(comparing, "bundle_of", bundle_of)
    monkeypatch.setattr(Store, "folder", folder)
    monkeypatch.setattr(ReleaseRegistry, "find", lambda *_: CHAMPION)
    outcome: Any = SimpleNamespace(release=CANDIDATE, logs=LOGS, evaluation=None, fairness=None)
    pointer = Pointer(version=CHAMPION.version, artifact="", since="", reason="", action="promote")
    key = SecretKey(b"0" * 32)
    (found,) = _beside(store, load_application("knowledge_tracing"), outcome, pointer, key, DeployConfig())
    return found


@pytest.mark.parametrize("error", [ArtifactMissingError("gone"), DigestMismatchError("other"), BundleError("no codec")])
def test_a_champion_that_is_gone_is_a_warning_and_a_candidate_or_data_that_are_gone_a_stop(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store", cache=tmp_path / "cache")
    found = beside(store, monkeypatch, CHAMPION, error)
    assert (found.outcome, found.reason) == (
        "warn",
        f"the champion cannot serve any more ({type(error).__name__})",
    )
    for broken in (CANDIDATE, LOGS):
        found = beside(store, monkeypatch, broken, error)
        assert found.outcome == "stop"
        assert "it could not be compared with the current release" in found.reason


def test_the_groups_compared_are_those_that_the_report_shows_intersections_among_them() -> None:
    students = pl.DataFrame(
        {
            "student": ["p", "q", "r", "s", "t"],
            "declared_split": [None] * 5,
            "sex": ["f", "m", "f", None, None],
            "town": ["A & B", "C", "C", None, "C"],
        }
    )
    shown = {
        "sex": ["f", "m"],
        "sex & town": ['f & "A & B"', "f & C", "unknown"],
        "sex & age": ["f & 1", "f & 2"],
    }
    found = comparing.groups_of(students, ["t", "s", "r", "q", "p"], shown)
    assert [(index.tolist(), groups) for index, groups in found] == [([2, 2, 0, 1, 0], 2), ([3, 2, 1, 3, 0], 3)]
