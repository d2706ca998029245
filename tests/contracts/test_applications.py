"""homeroom's own applications keep the contract that it asks of every application, and are found as others are."""

import tomllib
from pathlib import Path
from typing import ClassVar

import pytest

from flows.contract import ApplicationContract
from tests.conftest import Released

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


class OwnContract(ApplicationContract):
    """The contract on a release that other tests use as well."""

    released_by: ClassVar[str]
    """The fixture that gives it."""

    @pytest.fixture
    def release(self, request: pytest.FixtureRequest) -> Released:
        found: Released = request.getfixturevalue(self.released_by)
        return found


class TestKnowledgeTracing(OwnContract):
    application = "knowledge_tracing"
    released_by = "released"


@pytest.mark.soak  # another network of an application that is asked above
class TestAttention(OwnContract):
    application = "knowledge_tracing"
    released_by = "released_attention"


class TestEssayGrading(OwnContract):
    application = "essay_grading"
    released_by = "released_essays"


@pytest.mark.soak  # likewise
class TestNeuralEssays(OwnContract):
    application = "essay_grading"
    config = "neural"
    released_by = "released_neural_essays"


class TestShortAnswer(OwnContract):
    application = "short_answer"
    released_by = "released_answers"


class TestPooledAnswers(OwnContract):
    application = "short_answer"
    config = "pooled"
    released_by = "released_pooled_answers"


def test_every_own_application_is_asked_and_is_an_entry_point() -> None:
    folders = {path.parent.name for path in (ROOT / "flows").glob("*/app.py")}
    asked = {kind.application for kind in OwnContract.__subclasses__()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert asked == folders
    assert project["entry-points"]["homeroom.apps"] == {name: f"flows.{name}.app:APP" for name in sorted(folders)}
