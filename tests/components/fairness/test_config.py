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


def test_what_is_wrong_with_required_groups_and_severities_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(
            FairnessConfig,
            {
                "required": ["gender"],
                "optional": ["gender", "region"],
                "required_groups": {"region": []},
                "severity": {"max_auc": "warn"},
            },
        )
    for part in (
        "['gender', 'region'] are in optional and in required or required_groups",
        "required_groups names no group of ['region']",
        "severity names ['max_auc']; the limits here are max_auc_gap, max_accuracy_gap",
    ):
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match="uncertain = 'perhaps'"):
        make_config(FairnessConfig, {"uncertain": "perhaps"})


def test_groups_and_severities_are_read_from_tables() -> None:
    config = make_config(
        FairnessConfig, {"required_groups": {"gender": ["F", "M"]}, "severity": {"max_calibration_gap": "warn"}}
    )
    assert config.required_groups == {"gender": ("F", "M")}
    assert config.severity_of("max_calibration_gap") == "warn"
    assert config.severity_of("max_auc_gap") == "stop"
