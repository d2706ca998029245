"""docs/how-to/gate.md: its configuration is read, its defaults are the code's, its code runs, its checks are all."""

import re
import tomllib
from typing import Any, get_args

from components.app import load_application
from components.config import as_plain, make_config
from components.gate.decision import Check
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.release import WritingDeployConfig
from tests.docs.pages import Page

PAGE = Page.named("gate")
NO_DEFAULT = {"severity", "required", "optional", "required_groups"}


def test_its_limits_are_the_defaults_of_knowledge_tracing() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.text, re.S)
    values: dict[str, dict[str, Any]] = tomllib.loads(block)
    kind = load_application("knowledge_tracing").config
    config, default = make_config(kind, values), kind()
    for section, keys in values.items():
        shown, usual = as_plain(getattr(config, section)), as_plain(getattr(default, section))
        for key in keys:
            assert (shown[key] == usual[key]) is (key not in NO_DEFAULT), key
    names = {name for section in values.values() for name in section}
    assert set(type(default.fairness).limit_names()) <= names


def test_the_limits_of_writing_are_as_it_says() -> None:
    said = {name: float(value) for name, value in re.findall(r"`(\w+)` \((0\.\d+)\)", PAGE.text)}
    assert said == {
        "min_qwk": WritingEvaluateConfig().min_qwk,
        "max_drop_against_humans": WritingEvaluateConfig().max_drop_against_humans,
        "max_smd": WritingEvaluateConfig().max_smd,
        "max_dsm": WritingFairnessConfig().max_dsm,
        "max_qwk_gap": WritingFairnessConfig().max_qwk_gap,
        "max_qwk_drop": WritingDeployConfig().max_qwk_drop,
        "max_worst_group_qwk_drop": WritingDeployConfig().max_worst_group_qwk_drop,
    }


def test_every_check_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE.text, re.M)) == set(get_args(Check))


def test_its_code_runs() -> None:
    assert PAGE.run_all()["decision"].outcome == "stop"
