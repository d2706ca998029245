"""homeroom's own applications keep the contract that it asks of every application, and are found as others are."""

import tomllib
from pathlib import Path

import pytest

from flows.contract import ApplicationContract
from tests.conftest import Released

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


class TestKnowledgeTracing(ApplicationContract):
    application = "knowledge_tracing"

    @pytest.fixture
    def release(self, released: Released) -> Released:
        return released


class TestAttention(ApplicationContract):
    application = "knowledge_tracing"

    @pytest.fixture
    def release(self, released_attention: Released) -> Released:
        return released_attention


class TestEssayGrading(ApplicationContract):
    application = "essay_grading"

    @pytest.fixture
    def release(self, released_essays: Released) -> Released:
        return released_essays


class TestNeuralEssays(ApplicationContract):
    application = "essay_grading"
    config = "neural"

    @pytest.fixture
    def release(self, released_neural_essays: Released) -> Released:
        return released_neural_essays


class TestShortAnswer(ApplicationContract):
    application = "short_answer"

    @pytest.fixture
    def release(self, released_answers: Released) -> Released:
        return released_answers


class TestPooledAnswers(ApplicationContract):
    application = "short_answer"
    config = "pooled"

    @pytest.fixture
    def release(self, released_pooled_answers: Released) -> Released:
        return released_pooled_answers


def test_every_own_application_is_asked_and_is_an_entry_point() -> None:
    folders = {path.parent.name for path in (ROOT / "flows").glob("*/app.py")}
    asked = {kind.application for kind in ApplicationContract.__subclasses__()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert asked == folders
    assert project["entry-points"]["homeroom.apps"] == {name: f"flows.{name}.app:APP" for name in sorted(folders)}
