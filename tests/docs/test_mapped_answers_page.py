"""docs/how-to/mapped-answers.md: its settings are there, its code does what it says, its links lead somewhere."""

import re
import tomllib

import pytest

from components.config import make_config
from components.mitigation.before_after import MEASURES
from components.mitigation.config import PostprocessConfig
from flows.knowledge_tracing.config import KnowledgeTracingTrainConfig
from flows.mitigation import MEASURES as SHOWN
from tests.docs.pages import Page


def test_its_settings_are_read_and_its_links_lead_somewhere() -> None:
    page = Page.named("mapped-answers")
    (block,) = re.findall(r"```toml\n(.*?)```", page.text, re.S)
    config = make_config(KnowledgeTracingTrainConfig, tomllib.loads(block)["train"])
    assert config.postprocess == PostprocessConfig(kind="affine")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.text):
        assert (page.path.parent / link).is_file(), link
    assert set(SHOWN) <= set(MEASURES)


def test_its_code_undoes_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    Page.named("mapped-answers").run_all()
    slope, intercept = (float(one) for one in capsys.readouterr().out.split())
    assert slope == pytest.approx(0.5, abs=0.02)
    assert intercept == pytest.approx(-0.3, abs=0.03)
