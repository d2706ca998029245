"""docs/how-to/graders.md: its configuration is the application's, its code runs, and its keys are the code's."""

import re
import tomllib

from components.app import load_application
from components.config import make_config
from components.writing.graders.config import GraderTrainConfig
from components.writing.graders.grader import KINDS
from components.writing.transformer.config import TransformerConfig
from tests.docs.pages import Page

PAGE = Page.named("graders")


def test_the_configuration_is_that_of_the_neural_grader() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.text, re.S)
    application = load_application("essay_grading")
    assert make_config(application.config, tomllib.loads(block)) == application.configuration("neural")


def test_the_example_runs() -> None:
    assert PAGE.run_all()["config"].model.filters == 64


def test_every_grader_has_a_column() -> None:
    header = PAGE.text.split("\n| | ")[1].split("\n")[0]
    assert set(re.findall(r"`(\w+)`", header)) == set(KINDS)


def test_the_keys_on_the_page_are_the_codes() -> None:
    keys = re.findall(r"^\| `train\.([a-z_.]+)` \|", PAGE.text, re.M)
    assert len(keys) == 8
    of_model = {key.removeprefix("model.") for key in keys if key.startswith("model.")}
    assert of_model <= set(TransformerConfig.__dataclass_fields__)
    assert {key for key in keys if not key.startswith("model.")} <= set(GraderTrainConfig.__dataclass_fields__)
