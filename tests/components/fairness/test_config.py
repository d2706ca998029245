"""The fairness configuration says all that is wrong with it."""

import pytest

from components.config import make_config
from components.errors import ConfigError
from components.fairness.config import FairnessConfig


def test_every_field_out_of_range_is_named_with_its_value_and_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(
            FairnessConfig,
            {
                "attributes": ["gender", "gender"],
                "min_students": 1,
                "min_scored": 1,
                "min_rarer_class": 0,
                "max_auc_gap": 1.5,
                "max_calibration_gap": -0.1,
                "resamples": 3,
                "confidence": 0.2,
            },
        )
    for part in (
        "attributes is ['gender', 'gender']; expected each name once",
        "min_students is 1; expected at least 2",
        "min_scored is 1",
        "min_rarer_class is 0",
        "max_auc_gap is 1.5; expected 0 (off) to 1",
        "max_calibration_gap is -0.1",
        "resamples is 3",
        "confidence is 0.2",
    ):
        assert part in str(caught.value)
