"""The fairness configuration says all that is wrong with it."""

import pytest

from components.config import make_config
from components.errors import ConfigError
from components.writing.fairness.config import WritingFairnessConfig


def test_every_field_out_of_range_is_named_with_its_value_and_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(
            WritingFairnessConfig,
            {
                "attributes": ["gender", "gender"],
                "min_students": 1,
                "min_scored": 2,
                "min_prompt_scored": 0,
                "max_dsm": -0.1,
                "max_qwk_gap": 1.5,
                "resamples": 3,
                "confidence": 0.2,
            },
        )
    for part in (
        "attributes is ['gender', 'gender']; expected each name once",
        "min_students is 1; expected at least 2",
        "min_scored is 2; expected at least 3",
        "min_prompt_scored is 0",
        "max_dsm is -0.1",
        "max_qwk_gap is 1.5; expected 0 (off) to 1",
        "resamples is 3",
        "confidence is 0.2",
    ):
        assert part in str(caught.value)


def test_the_limit_on_subgroups_is_williamsons_and_limits_that_are_off_are_none() -> None:
    assert WritingFairnessConfig().departure_limits == {"dsm": 0.10}
    off = WritingFairnessConfig(max_dsm=0.0, max_qwk_gap=0.0)
    assert (off.departure_limits, off.gap_limits) == ({}, {})
