"""docs/how-to/mapped-answers.md: its settings are there, its code does what it says, its links lead somewhere."""

import re
import tomllib

import pytest

from components.app import load_application
from components.config import make_config
from components.errors import ConfigError
from components.mitigation.before_after import MEASURES
from components.mitigation.config import MapGroupsConfig, PostprocessConfig
from flows.knowledge_tracing import codec as module
from flows.knowledge_tracing.app import KnowledgeTracingConfig
from flows.knowledge_tracing.codec import Codec
from flows.knowledge_tracing.config import KnowledgeTracingTrainConfig
from flows.mitigation import MEASURES as SHOWN
from serving.requests import readers, requests_of
from tests.docs.pages import Page


def test_its_settings_are_read_and_its_links_lead_somewhere() -> None:
    page = Page.named("mapped-answers")
    plain, by_group = re.findall(r"```toml\n(.*?)```", page.text, re.S)
    config = make_config(KnowledgeTracingTrainConfig, tomllib.loads(plain)["train"])
    assert config.postprocess == PostprocessConfig(kind="affine")
    whole = make_config(KnowledgeTracingConfig, tomllib.loads(by_group))
    assert whole.preprocess.map_groups == MapGroupsConfig(by="gender")  # what is shown is the default
    assert whole.train.postprocess == PostprocessConfig(kind="affine_by_group")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.text):
        assert (page.path.parent / link).is_file(), link
    assert set(SHOWN) <= set(MEASURES)


def test_a_request_with_a_group_is_read_as_shown() -> None:
    (body,) = re.findall(r"-d '(.*?)'", Page.named("mapped-answers").text, re.S)
    codec = Codec(items=("q17",), skills=("fractions",), max_skills=1, max_len_steps=9).with_groups("gender", ["f"])
    reader = requests_of(codec, readers(module)[0])
    (row,) = codec.encode(reader.read(body.encode()))
    assert (row.group, row.flags) == (1, ())


def test_writing_has_no_maps_by_group() -> None:
    for name in ("essay_grading", "short_answer"):
        with pytest.raises(ConfigError, match=r"preprocess\.map_groups: unknown key"):
            load_application(name).configuration("small", ["preprocess.map_groups.by=gender"])


def test_its_code_undoes_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    Page.named("mapped-answers").run_all()
    slope, intercept = (float(one) for one in capsys.readouterr().out.split())
    assert slope == pytest.approx(0.5, abs=0.02)
    assert intercept == pytest.approx(-0.3, abs=0.03)
