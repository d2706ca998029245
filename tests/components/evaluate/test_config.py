"""The evaluation's configuration says all that is wrong with it."""

import pytest

from components.config import make_config
from components.errors import ConfigError
from components.evaluate.config import EvaluateConfig


def test_every_field_out_of_range_is_named_with_its_value_and_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(
            EvaluateConfig,
            {"resamples": 5, "confidence": 1.0, "seed": -1, "min_scored": 1, "min_auc": 1.0, "max_log_loss": -0.1},
        )
    for part in (
        "resamples is 5; expected at least 20",
        "confidence is 1.0; expected 0.5",
        "seed is -1",
        "min_scored is 1; expected at least 2",
        "min_auc is 1.0; expected 0 (off)",
        "max_log_loss is -0.1",
    ):
        assert part in str(caught.value)


def test_only_held_out_splits_can_be_evaluated() -> None:
    with pytest.raises(ConfigError, match="split"):
        make_config(EvaluateConfig, {"split": "train"})


def test_one_student_is_no_least_number() -> None:
    with pytest.raises(ValueError, match=r"min_students is 1; expected at least 2"):
        EvaluateConfig(min_students=1)
