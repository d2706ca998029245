"""The evaluation's configuration says all that is wrong with it, and its limits are the field's."""

import pytest

from components.config import make_config
from components.errors import ConfigError
from components.writing.evaluate.config import WritingEvaluateConfig


def test_the_limits_are_those_of_williamson_xi_and_breyer() -> None:
    found = WritingEvaluateConfig()
    assert (found.min_qwk, found.max_drop_against_humans, found.max_smd) == (0.70, 0.10, 0.15)


def test_every_field_out_of_range_is_named_with_its_value_and_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(
            WritingEvaluateConfig,
            {
                "resamples": 5,
                "confidence": 1.0,
                "seed": -1,
                "min_scored": 1,
                "min_prompt_scored": 2,
                "min_qwk": 1.0,
                "max_drop_against_humans": -0.1,
                "max_smd": -1.0,
            },
        )
    for part in (
        "resamples is 5; expected at least 20",
        "confidence is 1.0; expected 0.5",
        "seed is -1",
        "min_scored is 1; expected at least 3",
        "min_prompt_scored is 2; expected at least 3",
        "min_qwk is 1.0; expected 0 (off)",
        "max_drop_against_humans is -0.1",
        "max_smd is -1.0",
    ):
        assert part in str(caught.value)
