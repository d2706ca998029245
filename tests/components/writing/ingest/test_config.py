"""Configurations of ingest: read strictly, and refused where they cannot work, with the remedy."""

from typing import Any

import pytest

from components.config import as_plain, config_class, make_config
from components.errors import ConfigError
from components.writing.ingest.config import Rubric, WritingIngestConfig


@config_class
class Whole:
    """A configuration with the section."""

    ingest: WritingIngestConfig = WritingIngestConfig()


def made(**ingest: Any) -> WritingIngestConfig:  # Any: as TOML gives it
    return make_config(Whole, {"ingest": ingest}).ingest


def test_rubrics_are_read_by_prompt() -> None:
    config = made(
        prompts={"1": {"low": 2, "high": 12}, "7": {"low": 0, "high": 3, "traits": {"s": {"low": 0, "high": 6}}}}
    )
    assert config.prompts["1"] == Rubric(low=2, high=12)
    assert config.prompts["7"].traits["s"].high == 6
    assert make_config(Whole, as_plain(Whole(ingest=config))).ingest == config


def test_a_rubric_can_be_set_on_the_command_line() -> None:
    config = make_config(Whole, {}, ["ingest.prompts.1.low=2", "ingest.prompts.1.high=12"])
    assert config.ingest.prompts == {"1": Rubric(low=2, high=12)}


@pytest.mark.parametrize(
    ("ingest", "said"),
    [
        ({"prompts": {"1": {"low": 2, "hihg": 12}}}, "ingest.prompts.1.hihg: unknown key; did you mean 'high'?"),
        ({"prompts": {"1": {"low": 3, "high": 3}}}, "ingest.prompts.1: low is 3.0 and high is 3.0; expected low below"),
        (
            {"prompts": {"1": {"low": 0, "high": 1, "step": 0.3}}},
            "expected one that divides the scale into whole steps",
        ),
        ({"prompts": {"1": {"low": 0, "high": 1, "step": 0}}}, "step is 0.0"),
        ({"layout": "asap"}, "ingest.layout = 'asap': expected 'auto', 'homeroom', 'asap_aes'"),
        ({"layout": "mapped"}, "needs a mapping"),
        ({"layout": "semeval", "mapping": {"text": "t", "score": "s"}}, "exclude each other"),
        ({"mapping": {"text": "t"}}, "names neither score nor raters"),
        ({"mapping": {"score": "t"}}, "ingest.mapping.text: missing"),
        ({"mapping": {"text": "t", "score": "s", "rater": "r"}}, "that needs response and score, and no raters"),
        ({"mapping": {"text": "t", "score": "s", "student": "n", "groups": ["n"]}}, "ids and texts are no group"),
        ({"mapping": {"text": "t", "score": "s", "groups": ["student"]}}, "columns of students.parquet"),
        ({"mapping": {"text": "t", "score": "s", "groups": ["g", "g"]}}, "repeats a column"),
        ({"mapping": {"text": "t", "raters": ["a", "a"]}}, "repeats a column"),
        ({"mapping": {"text": "t", "score": "s", "split_values": {"0": "test"}}}, "name it as split"),
        ({"mapping": {"text": "t", "score": "s", "delimiter": "x"}}, "none of auto, comma"),
        ({"mapping": {"text": "t", "score": "s", "split": "f", "split_values": {"0": "tset"}}}, "'train', 'valid' or"),
        ({"labels": ["right"]}, "expected two or more different names"),
        ({"labels": ["right", "RIGHT "]}, "expected two or more different names"),
        ({"quarantine_limit": 2}, "quarantine_limit is 2.0"),
        ({"longest_text_chars": 0}, "longest_text_chars is 0"),
        ({"fallback": "utf-16"}, "expected 'cp1252', 'latin-1' or 'none'"),
    ],
)
def test_what_cannot_work_is_refused(ingest: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(**ingest)
    assert said in str(caught.value)
